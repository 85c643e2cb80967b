//! More holders than `init --dev` makes: certificates by the trial's own authority, and two more coordinators.

use lockstep_testkit::holders::Authority;

use super::{METRICS, Trial, offset_of};

impl Trial {
    /// Certificate and key for whoever `holder` (`lockstep://…`) names, into a folder of the trial.
    pub(super) fn certify(&self, folder: &str, holder: &str, hosts: &[&str]) {
        let folder = self.path.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let ca_key = std::fs::read_to_string(self.path.join("ca.key")).unwrap();
        // As `init --dev` named it.
        let authority = Authority::of(&ca_key, "Lockstep trial authority").unwrap();
        let own = authority.issue(holder, hosts).unwrap();
        std::fs::write(folder.join("certificate.pem"), own.pem).unwrap();
        std::fs::write(folder.join("key.pem"), own.key_pem).unwrap();
    }

    /// Files for one more coordinator.
    fn add_coordinator(&self, name: &str, site: &str) {
        self.certify(name, &format!("lockstep://coordinator/{name}"), &["127.0.0.1", "localhost"]);
        let text = std::fs::read_to_string(self.config("c-east")).unwrap();
        let text = text.replace("name: c-east", &format!("name: {name}"));
        let text = text.replace("site: east", &format!("site: {site}"));
        let text = text.replace(&self.address(0), &self.address(offset_of(name)));
        let text = text.replace(&format!("http: {}", self.address(METRICS)), "http: off");
        std::fs::write(self.config(name), text).unwrap();
    }

    /// Two more coordinators: five, known to the operator and to both agents.
    pub(super) fn add_two(&self) {
        self.add_coordinator("c-east-2", "east");
        self.add_coordinator("c-west-2", "west");
        for file in ["operator/operator.yaml", "a-east/agent.yaml", "a-west/agent.yaml"] {
            let text = std::fs::read_to_string(self.path.join(file)).unwrap();
            let third = format!("{:?}", self.address(2));
            let more = format!("{third}, {:?}, {:?}", self.address(5), self.address(6));
            assert!(text.contains(&third), "{text}");
            std::fs::write(self.path.join(file), text.replace(&third, &more)).unwrap();
        }
    }
}

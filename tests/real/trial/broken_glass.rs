//! A majority that is lost for good: the manual page's way out, and that nobody of before gets in.

use lockstep_testkit::wait_until_true;

use super::Trial;
use crate::mirror::PATIENCE;

#[test]
fn a_survivor_goes_on_alone_and_the_others_join_anew() {
    let mut trial = Trial::of_three();
    trial.asked(0, &["apply", "-f", &trial.file("dr.yaml")]);
    for name in ["c-east", "c-west", "c-witness"] {
        trial.kill(name);
    }
    let config = trial.config("c-west");
    let recover = |exit: i32, more: &[&str]| {
        let words = [&["coordinator", "recover", "--config", &config][..], more].concat();
        let finished = lockstep_testkit::Lockstep::run(&words, PATIENCE).unwrap();
        assert_eq!(finished.exit, lockstep_testkit::Exit::Code(exit), "{finished:?}");
        finished
    };
    assert!(recover(3, &[]).stdout.contains("nothing was changed"));
    recover(1, &["--force"]);
    let said = recover(0, &["--force", "--reason", "east and witness burnt"]).stdout;
    assert!(said.starts_with("c-west is the only coordinator"), "{said}");
    trial.start("c-west");
    assert_eq!((trial.led_by_somebody(), trial.voters()), ("c-west", vec!["c-west".to_owned()]));
    trial.asked(0, &["apply", "-f", &trial.spec_with("1m"), "--expected-revision", "1"]);
    let export = trial.asked(0, &["audit", "export"]).stdout;
    assert!(export.contains("east and witness burnt"), "{export}");
    // One that comes back with its old folder is refused by name, and nothing moves.
    trial.start("c-east");
    wait_until_true("the old member to be refused", PATIENCE, || {
        trial.running["c-east"].stderr().contains("has to set its folder aside and join anew")
    });
    assert_eq!(trial.voters(), ["c-west"]);
    trial.kill("c-east");
    let folder = trial.path.join("c-east");
    std::fs::rename(folder.join("data"), folder.join("data.old")).unwrap();
    trial.join("c-east", 0);
    trial.start("c-east");
    wait_until_true("the member that joined anew to vote", PATIENCE, || trial.voters().len() == 2);
    assert_eq!(trial.json(0, &["status"])["revision"], 2);
    assert_eq!(trial.json(0, &["audit", "verify"])["ok"], true);
}

//! A private MIT KDC on the loopback address, its files in one folder: realm TEST.LOCAL, the brokers' principal
//! `kafka/localhost`, one principal and keytab per user. Packages: krb5-kdc, krb5-admin-server, krb5-user.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::{CLIENT, LIMITED};
use crate::leash::Leash;
use crate::{Error, Exit, ports, wait_until_true};

const REALM: &str = "TEST.LOCAL";
const LIMIT: Duration = Duration::from_secs(30);
/// Debian keeps the server's tools where ordinary users do not look.
const PATHS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// A running KDC. Dropping it ends it.
#[derive(Debug)]
pub struct Kdc {
    folder: PathBuf,
    port: u16,
    running: Mutex<Option<Leash>>,
}

impl Kdc {
    /// Whether all tools are there.
    pub fn is_installed() -> bool {
        let found = |tool: &str| PATHS.iter().any(|path| Path::new(path).join(tool).is_file());
        ["krb5kdc", "kdb5_util", "kadmin.local"].into_iter().all(found)
    }

    pub(super) fn start(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder.join("db")).map_err(Error::io(format!("create {}", folder.display())))?;
        let kdc = Self { folder: folder.to_owned(), port: ports::free()?, running: Mutex::new(None) };
        kdc.write("krb5.conf", &kdc.client_lines(""))?;
        kdc.write("kdc.conf", &kdc.server_lines())?;
        kdc.run(&["kdb5_util", "create", "-s", "-r", REALM, "-P", "a-master-password"])?;
        for principal in ["kafka/localhost", CLIENT.0, LIMITED.0] {
            let name = format!("{principal}@{REALM}");
            let keytab = kdc.keytab(principal.split('/').next().unwrap_or(principal));
            kdc.run(&["kadmin.local", "-r", REALM, "addprinc", "-randkey", &name])?;
            kdc.run(&["kadmin.local", "-r", REALM, "ktadd", "-k", &keytab.display().to_string(), &name])?;
        }
        kdc.resume()?;
        Ok(kdc)
    }

    /// `krb5.conf` of every client and broker.
    pub fn client_config(&self) -> PathBuf {
        self.folder.join("krb5.conf")
    }

    /// Of a user, or of `kafka`.
    pub fn keytab(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.keytab"))
    }

    /// The environment in which a process is this user. Its tickets are its own.
    pub fn environment(&self, user: &str) -> Vec<(String, String)> {
        self.environment_with(user, &self.client_config())
    }

    /// As [`Kdc::environment`], but nothing corrects the process's own clock.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn environment_with_own_clock(&self, user: &str) -> Result<Vec<(String, String)>, Error> {
        let config = self.write("own-clock.conf", &self.client_lines("  kdc_timesync = 0\n"))?;
        Ok(self.environment_with(user, &config))
    }

    /// As [`Kdc::environment`], with tickets that are good for so long, in seconds.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn environment_with_brief_tickets(
        &self,
        user: &str,
        life_seconds: u32,
    ) -> Result<Vec<(String, String)>, Error> {
        let life = format!("  ticket_lifetime = {life_seconds}s\n");
        let config = self.write(&format!("brief-{life_seconds}.conf"), &self.client_lines(&life))?;
        Ok(self.environment_with(user, &config))
    }

    fn environment_with(&self, user: &str, config: &Path) -> Vec<(String, String)> {
        let cache = self.folder.join(format!("cache-{:08x}", fastrand::u32(..)));
        [
            ("KRB5_CONFIG", config.display().to_string()),
            ("KRB5_CLIENT_KTNAME", format!("FILE:{}", self.keytab(user).display())),
            ("KRB5CCNAME", format!("FILE:{}", cache.display())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Ends it: no tickets until [`Kdc::resume`].
    pub fn stop(&self) -> Result<(), Error> {
        match self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take() {
            Some(mut leash) => leash.kill().map(drop),
            None => Ok(()),
        }
    }

    pub fn resume(&self) -> Result<(), Error> {
        let log = self.folder.join("kdc.out");
        let leash =
            Leash::run(&tool(&["krb5kdc", "-n", "-r", REALM]), &self.server_environment(), &log, &log)?;
        *self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(leash);
        wait_until_true("the KDC to listen", LIMIT, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
        });
        Ok(())
    }

    fn run(&self, command: &[&str]) -> Result<(), Error> {
        let log = self.folder.join("setup.log");
        match Leash::run(&tool(command), &self.server_environment(), &log, &log)?.wait(LIMIT)? {
            Exit::Code(0) => Ok(()),
            exit => Err(Error::Died {
                what: command.join(" "),
                exit: exit.to_string(),
                log_tail: fs::read_to_string(&log).unwrap_or_default(),
            }),
        }
    }

    fn server_environment(&self) -> Vec<(String, String)> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        vec![("KRB5_CONFIG".to_owned(), at("krb5.conf")), ("KRB5_KDC_PROFILE".to_owned(), at("kdc.conf"))]
    }

    fn client_lines(&self, more: &str) -> String {
        let port = self.port;
        format!(
            "[libdefaults]\n  default_realm = {REALM}\n  dns_lookup_realm = false\n  dns_lookup_kdc = false\n  \
             dns_canonicalize_hostname = false\n  rdns = false\n  udp_preference_limit = 1\n{more}[realms]\n  \
             {REALM} = {{\n    kdc = 127.0.0.1:{port}\n  }}\n[domain_realm]\n  localhost = {REALM}\n"
        )
    }

    fn server_lines(&self) -> String {
        let (port, folder) = (self.port, self.folder.display());
        format!(
            "[kdcdefaults]\n  kdc_listen = 127.0.0.1:{port}\n  kdc_tcp_listen = 127.0.0.1:{port}\n[realms]\n  \
             {REALM} = {{\n    database_name = {folder}/db/principal\n    key_stash_file = {folder}/db/stash\n    \
             acl_file = {folder}/kadm5.acl\n    max_life = 10h\n  }}\n[logging]\n  kdc = FILE:{folder}/kdc.log\n  \
             default = FILE:{folder}/default.log\n"
        )
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        fs::write(&path, content).map_err(Error::io(format!("write {}", path.display())))?;
        Ok(path)
    }
}

/// With the tool's full path.
fn tool(command: &[&str]) -> Vec<String> {
    let mut command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
    let found = PATHS.iter().map(|path| Path::new(path).join(&command[0])).find(|path| path.is_file());
    if let Some(path) = found {
        command[0] = path.display().to_string();
    }
    command
}

//! YAML files with a `security` section (`--from-config`, `--to-config`): read by the loader of `agent.yaml`.
//! Promises: all faults at once, with file and key; no message quotes the file, which might hold a secret by mistake.

use std::path::Path;

use lockstep_agent::config::load_security;
use lockstep_core::code::Code;
use lockstep_kafka::Security;

use super::failure::Failure;

/// # Errors
/// The file cannot be read, is no YAML, or has faults: all of them, with their lines.
pub(super) fn security(path: &Path) -> Result<Security, Failure> {
    load_security(path).map_err(|unusable| Failure::coded(Code::SecuritySettings, unusable.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        // Tests run beside each other: a file for each.
        let (process, thread) = (std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(format!("lockstep-config-{process}-{thread:?}.yaml"));
        std::fs::write(&path, text).expect("a temporary file");
        let failure = security(&path).map(drop).map_err(|failure| failure.to_string());
        std::fs::remove_file(&path).expect("it was there");
        failure.expect_err("a fault")
    }

    #[test]
    fn every_fault_is_listed_with_its_key_and_no_secret() {
        let text =
            "security:\n  protocol: sasl_ssl\n  sasl: { mechanism: PLAIN, usrname: x, password: hunter2 }\n";
        let words = said(text);
        assert!(words.starts_with("error[L-101]: ") && words.contains(": 4 faults\n"), "{words}");
        for key in
            ["ssl.truststore: is missing", "sasl.usrname", "sasl.username", "sasl.password: write { file"]
        {
            assert!(words.contains(&format!(": security.{key}")), "{key} in {words}");
        }
        assert!(words.ends_with("page    docs/errors/L-101.md") && !words.contains("hunter2"), "{words}");
    }

    #[test]
    fn what_is_no_yaml_is_not_quoted() {
        for text in ["security: { password: hunter2", "security:\n  protocol: [hunter2]\n", "hunter2: 1\n"] {
            let words = said(text);
            assert!(!words.contains("password") && words.contains("L-101"), "{words}");
        }
        assert!(security(Path::new("/no/such/file")).is_err());
    }
}

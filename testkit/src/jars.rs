//! Where Kafka's jars are. `./dev setup` puts them there; nothing is downloaded from here.

use std::env;
use std::path::PathBuf;

use crate::Error;

/// The Kafka version of every test that does not ask for another.
pub const KAFKA_VERSION: &str = "4.3.1";

/// The Kafka that stands for old ones ([`crate::OldKafka`]): with ZooKeeper, and able to write message format v1.
pub const OLD_KAFKA_VERSION: &str = "2.8.2";

/// The folder with one folder per Kafka version: `LOCKSTEP_KAFKA_CACHE`, else `lockstep` in the user's cache folder.
pub fn cache() -> Result<PathBuf, Error> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LOCKSTEP_KAFKA_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("lockstep")))
        .or_else(|| set("HOME").map(|home| home.join(".cache").join("lockstep")))
        .ok_or(Error::NoCacheFolder)
}

/// The folder of one version: `libs` and what the testkit keeps beside them.
pub(crate) fn version_folder(version: &str) -> Result<PathBuf, Error> {
    Ok(cache()?.join(format!("kafka-{version}")))
}

/// The folder that holds the jars of a version.
///
/// # Errors
/// When they are not there; the message names the command that fetches them.
pub fn libs(version: &str) -> Result<PathBuf, Error> {
    let folder = version_folder(version)?.join("libs");
    // The broker's own jar stands for all: the folder appears by one rename, complete or not at all.
    if folder.join(format!("kafka_2.13-{version}.jar")).is_file() {
        Ok(folder)
    } else {
        Err(Error::NoJars { version: version.to_owned(), folder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_jars_are_reported_with_the_command_that_fetches_them() {
        let refused = libs("0.0.0").unwrap_err().to_string();
        assert!(refused.contains("./dev setup") && refused.contains("0.0.0"), "{refused}");
    }
}

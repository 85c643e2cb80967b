//! Certificates for coordinators, agents and an operator that live as long as a measurement, as files.

use std::path::{Path, PathBuf};
use std::{fs, io};

use lockstep_testkit::holders;

use crate::Result;

const HOST: &str = "127.0.0.1";

pub(crate) struct Authority {
    authority: holders::Authority,
    folder: PathBuf,
}

/// Files of one holder.
#[derive(Clone, Debug)]
pub(crate) struct Papers {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Its files stand in `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let authority = holders::Authority::new()?;
        fs::write(folder.join("ca.pem"), &authority.pem)?;
        Ok(Self { authority, folder: folder.to_owned() })
    }

    /// For whoever `holder` names (`lockstep://…`), on loopback.
    pub(crate) fn issue(&self, name: &str, holder: &str) -> Result<Papers> {
        let own = self.authority.issue(holder, &[HOST])?;
        let write = |suffix: &str, text: &str| -> io::Result<PathBuf> {
            let path = self.folder.join(format!("{name}{suffix}"));
            fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Papers {
            ca: self.folder.join("ca.pem"),
            certificate: write(".pem", &own.pem)?,
            key: write(".key", &own.key_pem)?,
        })
    }
}

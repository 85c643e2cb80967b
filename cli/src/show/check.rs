//! What `lockstep check` found, for people and for scripts.

use std::path::Path;

use lockstep_agent::config::{Config, Unusable};
use lockstep_core::spec::fault::Fault;
use serde_json::{Value, json};

use super::Output;
use crate::cmd::failure::Failure;

pub(crate) struct Show<'a> {
    output: Output,
    path: &'a Path,
}

impl<'a> Show<'a> {
    pub(crate) fn new(output: Output, path: &'a Path) -> Self {
        Self { output, path }
    }

    pub(crate) fn faults(&self, unusable: &Unusable) {
        match self.output {
            Output::Table => eprintln!("{}", Failure::coded(unusable.page(), unusable.to_string())),
            Output::Json => {
                let faults: Vec<Value> = unusable.faults().iter().map(fault).collect();
                println!(
                    "{}",
                    json!({ "file": self.file(), "ok": false, "code": unusable.page().to_string(), "faults": faults })
                );
            }
        }
    }

    pub(crate) fn fine(&self, config: &Config) {
        let (clusters, links) = (config.spec.clusters.len(), config.spec.links.len());
        match self.output {
            Output::Table => println!("{}: ok, {clusters} clusters, {links} links", self.file()),
            Output::Json => println!("{}", json!({ "file": self.file(), "ok": true, "faults": [] })),
        }
    }

    pub(crate) fn fine_security(&self) {
        match self.output {
            Output::Table => println!("{}: ok, a security section", self.file()),
            Output::Json => println!("{}", json!({ "file": self.file(), "ok": true, "faults": [] })),
        }
    }

    fn file(&self) -> String {
        self.path.display().to_string()
    }
}

fn fault(fault: &Fault) -> Value {
    json!({ "line": fault.line, "key": fault.key, "what": fault.what })
}

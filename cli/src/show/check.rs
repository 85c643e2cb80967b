//! What `lockstep check` found, for people and for scripts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lockstep_agent::config::{Config, Unusable};
use lockstep_agent::preflight::{ClusterFound, Findings, LinkFound, Missing, expires_soon, has_expired};
use lockstep_core::plan::permissions::{Resource, Weight};
use lockstep_core::spec::dr::Checked;
use lockstep_core::spec::fault::Fault;
use lockstep_kafka::Certificate;
use serde_json::{Value, json};

use super::{Output, units};
use crate::cmd::failure::Failure;
use crate::files;

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
            Output::Table | Output::Wide => {
                eprintln!("{}", Failure::coded(unusable.page(), unusable.to_string()));
            }
            Output::Json | Output::Yaml => {
                let faults: Vec<Value> = unusable.faults().iter().map(fault).collect();
                let code = unusable.page().to_string();
                self.document(&json!({ "file": self.file(), "ok": false, "code": code, "faults": faults }));
            }
        }
    }

    pub(crate) fn fine(&self, config: &Config) {
        let (clusters, links) = (config.spec.clusters.len(), config.spec.links.len());
        match self.output {
            Output::Table | Output::Wide => {
                println!("{}: ok ({clusters} clusters, {links} links)", self.file());
            }
            Output::Json | Output::Yaml => self.fine_in_json(),
        }
    }

    pub(crate) fn fine_coordinator(&self) {
        self.fine_as("a coordinator's file");
    }

    pub(crate) fn fine_operator(&self) {
        self.fine_as("an operator's file");
    }

    /// With what should be looked at.
    pub(crate) fn fine_spec(&self, checked: &Checked) {
        match self.output {
            Output::Table | Output::Wide => {
                for warning in &checked.warnings {
                    println!("warning: {warning}");
                }
                println!("{}: ok ({})", self.file(), files::counted(&checked.spec));
            }
            Output::Json | Output::Yaml => {
                let warnings: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
                let file = self.file();
                self.document(
                    &json!({ "file": file, "ok": true, "code": null, "faults": [], "warnings": warnings }),
                );
            }
        }
    }

    pub(crate) fn fine_security(&self) {
        self.fine_as("a security section");
    }

    fn fine_as(&self, what: &str) {
        match self.output {
            Output::Table | Output::Wide => println!("{}: ok ({what})", self.file()),
            Output::Json | Output::Yaml => self.fine_in_json(),
        }
    }

    fn fine_in_json(&self) {
        self.document(&json!({ "file": self.file(), "ok": true, "code": null, "faults": [] }));
    }

    fn document(&self, value: &Value) {
        print!("{}", self.output.document(value));
    }

    pub(crate) fn findings(&self, config: &Config, findings: &Findings) {
        match self.output {
            Output::Table | Output::Wide => print!("{}", self.table(config, findings)),
            Output::Json | Output::Yaml => {
                let clusters: Vec<Value> =
                    findings.clusters.iter().map(|(name, found)| cluster(name, found)).collect();
                let links: Vec<Value> =
                    findings.links.iter().map(|(name, found)| link(name, found)).collect();
                let code = findings.page().map(|code| code.to_string());
                let ok = findings.is_fine();
                self.document(
                    &json!({ "file": self.file(), "ok": ok, "code": code, "faults": [], "clusters": clusters, "links": links }),
                );
            }
        }
    }

    fn table(&self, config: &Config, findings: &Findings) -> String {
        let mut out = String::new();
        for (name, found) in &findings.clusters {
            out.push_str(&cluster_in_words(name, found));
        }
        for (name, found) in &findings.links {
            let ends = config.spec.links.get(name).map(|link| format!("{} to {}", link.from, link.to));
            out.push_str(&link_in_words(name, &ends.unwrap_or_default(), found));
        }
        let end = match (findings.is_fine(), findings.page()) {
            (true, _) => format!("{}: ok. Nothing was changed.\n", self.file()),
            (false, None) => format!("{}: not ready. Nothing was changed.\n", self.file()),
            (false, Some(code)) => {
                format!("{}: not ready ({code}: {}). Nothing was changed.\n", self.file(), code.page())
            }
        };
        out + &end
    }

    fn file(&self) -> String {
        self.path.display().to_string()
    }
}

fn fault(fault: &Fault) -> Value {
    json!({ "line": fault.line, "key": fault.key, "what": fault.what })
}

fn cluster_in_words(name: &str, found: &ClusterFound) -> String {
    let mut out = match &found.outcome {
        Ok(reached) => format!(
            "cluster {name}  answers: id {}, {} brokers, as {}\n",
            reached.cluster_id, reached.brokers, reached.principal
        ),
        Err(error) => format!("cluster {name}  FAULT: {error}\n"),
    };
    for what in &found.unfit {
        out.push_str(&format!("  FAULT   {what}\n"));
    }
    for certificate in &found.certificates {
        let Certificate { what, subject, .. } = certificate;
        let left = units::duration(left(certificate));
        match (has_expired(certificate), expires_soon(certificate)) {
            (true, _) => out.push_str(&format!("  FAULT   {what} ({subject}) has expired\n")),
            (_, true) => out.push_str(&format!("  soon    {what} ({subject}) expires in {left}\n")),
            _ => out.push_str(&format!("  valid   {what} ({subject}), {left} left\n")),
        }
    }
    out
}

fn left(certificate: &Certificate) -> Duration {
    certificate.not_after.duration_since(SystemTime::now()).unwrap_or_default()
}

fn link_in_words(name: &str, ends: &str, found: &LinkFound) -> String {
    let verdict = match (found.is_fine(), found.unknown.is_empty()) {
        (true, true) => "ok",
        (true, false) => "not all could be looked at",
        (false, _) => "not ready",
    };
    let mut out = format!("link {name}  {ends}: {verdict}, {} topics\n", found.topics);
    for what in &found.faults {
        out.push_str(&format!("  FAULT   {what}\n"));
    }
    for ((weight, _, _), lacks) in grouped(&found.missing) {
        out.push_str(&lacking(weight, &lacks));
    }
    for what in &found.unknown {
        out.push_str(&format!("  unknown {what}\n"));
    }
    for what in &found.notes {
        out.push_str(&format!("  note    {what}\n"));
    }
    out
}

/// What one command can grant: rights of the same weight on one resource of one cluster. What is needed comes first.
type Grant<'a> = (bool, &'a str, &'a Resource);

fn grouped(missing: &[Missing]) -> BTreeMap<Grant<'_>, Vec<&Missing>> {
    let mut groups: BTreeMap<Grant<'_>, Vec<&Missing>> = BTreeMap::new();
    for each in missing {
        let key = (each.need.weight == Weight::Better, each.cluster.as_str(), &each.need.resource);
        groups.entry(key).or_default().push(each);
    }
    groups
}

fn lacking(better: bool, lacks: &[&Missing]) -> String {
    let Some(first) = lacks.first() else { return String::new() };
    let mut out = String::new();
    for each in lacks {
        let word = if better { "better" } else { "needs" };
        out.push_str(&format!("  {word:<7} {}: {}\n", each.permission.needs(), each.need.why));
    }
    let mut grant = first.permission.grant();
    for each in &lacks[1..] {
        let (so_far, resource) = grant.split_at(grant.rfind(" --").unwrap_or(grant.len()));
        grant = format!("{so_far} --operation {}{resource}", each.permission.operation);
    }
    out + &format!("  grant   {grant}\n")
}

fn cluster(name: &str, found: &ClusterFound) -> Value {
    let certificates: Vec<Value> = found
        .certificates
        .iter()
        .map(|certificate| {
            json!({
                "what": certificate.what,
                "subject": certificate.subject,
                "expired": has_expired(certificate),
                "valid_for_seconds": left(certificate).as_secs(),
            })
        })
        .collect();
    let reached = found.outcome.as_ref().ok();
    json!({
        "name": name,
        "reached": reached.is_some(),
        "cluster_id": reached.map(|reached| reached.cluster_id.clone()),
        "brokers": reached.map(|reached| reached.brokers),
        "principal": reached.map(|reached| reached.principal.clone()),
        "reason": found.outcome.as_ref().err().map(ToString::to_string),
        "code": found.outcome.as_ref().err().and_then(|error| error.page()).map(|code| code.to_string()),
        "unfit": found.unfit,
        "certificates": certificates,
    })
}

fn link(name: &str, found: &LinkFound) -> Value {
    let missing: Vec<Value> = found.missing.iter().map(lack).collect();
    json!({
        "name": name,
        "ok": found.is_fine(),
        "topics": found.topics,
        "missing": missing,
        "faults": found.faults,
        "unknown": found.unknown,
        "notes": found.notes,
    })
}

fn lack(missing: &Missing) -> Value {
    let (kind, name) = match &missing.need.resource {
        Resource::Cluster => ("cluster", None),
        Resource::Topic(name) => ("topic", Some(name)),
        Resource::Group(name) => ("group", Some(name)),
        Resource::TransactionalId(name) => ("transactional_id", Some(name)),
    };
    json!({
        "cluster": missing.cluster,
        "principal": missing.permission.principal,
        "operation": missing.permission.operation,
        "resource_type": kind,
        "resource": name,
        "needed": missing.need.weight == Weight::Needed,
        "why": missing.need.why,
        "grant": missing.permission.grant(),
    })
}

#[cfg(test)]
mod tests {
    use lockstep_core::dr::denied::Side;
    use lockstep_core::plan::permissions::{Need, Operation};
    use lockstep_kafka::{MissingPermission, Settings};

    use super::*;

    fn missing(operation: Operation, topic: &str, weight: Weight) -> Missing {
        let resource = Resource::Topic(topic.to_owned());
        let settings = Settings::new("pr:9092").unwrap();
        let permission = MissingPermission::to(&settings, operation.name(), resource.clone());
        let need = Need { side: Side::Dest, resource, operation, weight, why: "for x" };
        Missing { need, cluster: "core-pr".to_owned(), permission }
    }

    #[test]
    fn rights_on_one_resource_are_granted_by_one_command() {
        let found = LinkFound {
            topics: 2,
            missing: vec![
                missing(Operation::Read, "a", Weight::Needed),
                missing(Operation::Write, "b", Weight::Needed),
                missing(Operation::Alter, "a", Weight::Needed),
                missing(Operation::DescribeConfigs, "a", Weight::Better),
            ],
            ..LinkFound::default()
        };
        let words = link_in_words("claims", "mi to pr", &found);
        assert_eq!(
            words,
            "link claims  mi to pr: not ready, 2 topics
  needs   Read on Topic a for User:ANONYMOUS: for x
  needs   Alter on Topic a for User:ANONYMOUS: for x
  grant   kafka-acls --bootstrap-server pr:9092 --add --allow-principal 'User:ANONYMOUS' --operation Read --operation Alter --topic 'a'
  needs   Write on Topic b for User:ANONYMOUS: for x
  grant   kafka-acls --bootstrap-server pr:9092 --add --allow-principal 'User:ANONYMOUS' --operation Write --topic 'b'
  better  DescribeConfigs on Topic a for User:ANONYMOUS: for x
  grant   kafka-acls --bootstrap-server pr:9092 --add --allow-principal 'User:ANONYMOUS' --operation DescribeConfigs --topic 'a'
"
        );
        let fine = LinkFound {
            missing: vec![missing(Operation::Read, "a", Weight::Better)],
            ..LinkFound::default()
        };
        assert!(fine.is_fine() && !found.is_fine());
    }

    #[test]
    fn field_names_of_json_are_stable() {
        let found = LinkFound {
            missing: vec![missing(Operation::Read, "a", Weight::Needed)],
            ..LinkFound::default()
        };
        let value = link("claims", &found);
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(names(&value), "faults missing name notes ok topics unknown");
        assert_eq!(
            names(&value["missing"][0]),
            "cluster grant needed operation principal resource resource_type why"
        );
        let unreached = ClusterFound {
            outcome: Err(lockstep_kafka::Error::NoController),
            certificates: Vec::new(),
            unfit: Vec::new(),
        };
        assert_eq!(
            names(&cluster("core-pr", &unreached)),
            "brokers certificates cluster_id code name principal reached reason unfit"
        );
        assert_eq!(names(&fault(&Fault::new("a", "b"))), "key line what");
    }
}

//! MirrorMaker 2 from Kafka's own jars, in its dedicated mode, from the site's source to its destination.
//! Every run has a name of its own for the source, so that it finds no state of an earlier one; the copy's topic carries
//! that name as prefix (MirrorMaker's default policy). What a run leaves behind is removed with [`clean`].

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lockstep_testkit::client::Admin;
use lockstep_testkit::jars;

use crate::Result;
use crate::meter::Metered;
use crate::site::Site;

/// How it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tuning {
    /// For large batches: two tasks, large fetches and large lz4 batches.
    Tuned,
    /// As it comes.
    Untuned,
}

/// Beyond the defaults. `SOURCE` stands for the run's name of the source.
const TUNED: &[(&str, &str)] = &[
    ("tasks.max", "2"),
    ("SOURCE.consumer.fetch.max.bytes", "52428800"),
    ("SOURCE.consumer.max.partition.fetch.bytes", "8388608"),
    ("SOURCE.consumer.max.poll.records", "10000"),
    ("SOURCE.consumer.receive.buffer.bytes", "4194304"),
    ("dest.producer.batch.size", "1000000"),
    ("dest.producer.linger.ms", "20"),
    ("dest.producer.compression.type", "lz4"),
    ("dest.producer.buffer.memory", "134217728"),
    ("dest.producer.max.request.size", "16777216"),
];

/// The heap of Kafka's own start script, and the collector a JVM chooses on a server.
const JVM: &[&str] = &["-Xms256m", "-Xmx2g", "-XX:+UseG1GC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"];

/// Where a run puts the copy of a topic.
pub(crate) fn copy_of(topic: &str, run: &str) -> String {
    format!("{run}.{topic}")
}

/// Starts it; it does not end by itself.
pub(crate) fn start(site: &Site, topic: &str, run: &str, tuning: Tuning) -> Result<Metered> {
    let path = site.scratch.path().join(format!("{run}.properties"));
    let (from, to) = (site.source.bootstrap(), site.dest.bootstrap());
    fs::write(&path, properties(topic, run, tuning, [&from, &to]))?;
    // The JVM expands the star itself.
    let class_path = format!("{}/*", jars::libs(site.kafka_version())?.display());
    let file = path.display().to_string();
    let mut arguments = JVM.to_vec();
    arguments.extend(["-cp", &class_path, "org.apache.kafka.connect.mirror.MirrorMaker", &file]);
    Metered::start(Path::new("java"), &arguments, site.scratch.path(), run)
}

fn properties(topic: &str, run: &str, tuning: Tuning, [from, to]: [&str; 2]) -> String {
    let mut text = format!(
        "clusters={run},dest\n\
         {run}.bootstrap.servers={from}\n\
         dest.bootstrap.servers={to}\n\
         {run}->dest.enabled=true\n\
         {run}->dest.topics={topic}\n\
         dest->{run}.enabled=false\n\
         dest->{run}.emit.heartbeats.enabled=false\n"
    );
    // Single brokers.
    for what in [
        "",
        "checkpoints.topic.",
        "heartbeats.topic.",
        "offset-syncs.topic.",
        "offset.storage.",
        "status.storage.",
        "config.storage.",
    ] {
        let _ = writeln!(text, "{what}replication.factor=1"); // writing to a String cannot fail
    }
    if tuning == Tuning::Tuned {
        for (key, value) in TUNED {
            let _ = writeln!(text, "{}={value}", key.replace("SOURCE", run));
        }
    }
    text
}

/// Removes the copy and the internal topics of a run that has ended.
pub(crate) fn clean(site: &Site, topic: &str, run: &str) -> Result<()> {
    let internal = ["configs", "offsets", "status"].map(|what| format!("mm2-{what}.{run}.internal"));
    for name in internal.iter().chain([&copy_of(topic, run), &format!("{run}.checkpoints.internal")]) {
        site.clear_dest(name)?;
    }
    let syncs = "mm2-offset-syncs.dest.internal";
    let source = Admin::of(&site.source.bootstrap())?;
    if !source.leaders(syncs)?.is_empty() {
        source.delete(syncs)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuned_run_has_every_default_line_and_its_own() {
        let of = |tuning| properties("t", "run1", tuning, ["a:1", "b:2"]);
        let (tuned, untuned) = (of(Tuning::Tuned), of(Tuning::Untuned));
        assert!(untuned.contains("run1->dest.topics=t\n") && untuned.contains("\nreplication.factor=1\n"));
        assert!(tuned.starts_with(&untuned), "{tuned}");
        assert!(tuned.contains("run1.consumer.max.poll.records=10000\n") && !tuned.contains("SOURCE"));
    }
}

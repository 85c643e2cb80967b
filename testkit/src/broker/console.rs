//! Kafka's own console consumer, as an operator runs it: what it prints of a topic, record by record. It reads what
//! librdkafka misreads (message formats v0 and v1 in answers to Fetch v12 and later).
//! For topics whose keys and values are text without line ends. A JVM of its own: some seconds.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Kafka, OldKafka, node};
use crate::client::Isolation;
use crate::leash::Leash;
use crate::{Error, jars};

const LIMIT: Duration = Duration::from_secs(120);
/// It has read everything when nothing came for so long.
const IDLE_MS: &str = "8000";

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Printed {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970, whoever stamped it; −1 for none.
    pub timestamp: i64,
    /// Headers, key and value, with tabs between them; `null` and `NO_HEADERS` for what is not there.
    pub text: String,
}

impl Kafka {
    /// Everything that `kafka-console-consumer --from-beginning` prints of a topic, by partition and offset.
    ///
    /// # Errors
    /// When the tool fails, or prints a line of another kind.
    pub fn console_consumer(&self, topic: &str, isolation: Isolation) -> Result<Vec<Printed>, Error> {
        let first = self.nodes.first().ok_or_else(|| Error::Refused("a cluster without nodes".to_owned()))?;
        let more = ["--from-beginning", "--isolation-level", isolation.name()];
        run(first.libs(), self.folder(), &self.bootstrap(), topic, &more)
    }

    /// Everything that a member of a group prints from where the group stands, read_committed. Without a committed offset
    /// that exists it fails instead of guessing. What it has read it commits.
    ///
    /// # Errors
    /// When the tool fails, or prints a line of another kind.
    pub fn console_consumer_of(&self, topic: &str, group: &str) -> Result<Vec<Printed>, Error> {
        let first = self.nodes.first().ok_or_else(|| Error::Refused("a cluster without nodes".to_owned()))?;
        let more = ["--group", group, "--isolation-level", "read_committed"];
        let more = [&more[..], &["--command-property", "auto.offset.reset=none"]].concat();
        run(first.libs(), self.folder(), &self.bootstrap(), topic, &more)
    }
}

impl Kafka {
    /// Lets a member of a share group (KIP-932) come, read for a moment, and go: afterwards there is such a group.
    ///
    /// # Errors
    /// When the tool fails.
    pub fn console_share_consumer(&self, topic: &str, group: &str) -> Result<(), Error> {
        let first = self.nodes.first().ok_or_else(|| Error::Refused("a cluster without nodes".to_owned()))?;
        let more = ["--group", group].map(str::to_owned);
        let tool = "ConsoleShareConsumer";
        launch(first.libs(), self.folder(), (tool, &self.bootstrap(), topic), &more).map(drop)
    }
}

impl OldKafka {
    /// As [`Kafka::console_consumer`], read_uncommitted and up to so many records: it does not wait for more. With the
    /// tool of [`jars::KAFKA_VERSION`]: the old one prints in another way.
    ///
    /// # Errors
    /// When the tool fails, or prints a line of another kind.
    pub fn console_consumer(&self, topic: &str, records_max: usize) -> Result<Vec<Printed>, Error> {
        let libs = jars::libs(jars::KAFKA_VERSION)?;
        run(
            &libs,
            self.folder(),
            &self.bootstrap(),
            topic,
            &["--from-beginning", "--max-messages", &records_max.to_string()],
        )
    }
}

fn run(
    libs: &Path,
    folder: &Path,
    bootstrap: &str,
    topic: &str,
    more: &[&str],
) -> Result<Vec<Printed>, Error> {
    let mut options: Vec<_> = more.iter().map(|&option| option.to_owned()).collect();
    for shown in ["partition", "offset", "timestamp", "headers", "key"] {
        options.extend(["--formatter-property".to_owned(), format!("print.{shown}=true")]);
    }
    let out = launch(libs, folder, ("ConsoleConsumer", bootstrap, topic), &options)?;
    let mut printed = out.lines().map(parse).collect::<Result<Vec<_>, _>>()?;
    printed.sort();
    Ok(printed)
}

/// Runs a tool of Kafka's until it has been idle for a while; what it printed.
fn launch(
    libs: &Path,
    folder: &Path,
    (tool, bootstrap, topic): (&str, &str, &str),
    more: &[String],
) -> Result<String, Error> {
    let unique = fastrand::u32(..);
    let (out, log) =
        (folder.join(format!("console-{unique}.out")), folder.join(format!("console-{unique}.log")));
    let mut command = node::java(libs);
    command.push(format!("org.apache.kafka.tools.consumer.{tool}"));
    command.extend(["--bootstrap-server", bootstrap, "--topic", topic].map(str::to_owned));
    command.extend(["--timeout-ms", IDLE_MS].map(str::to_owned));
    command.extend(more.iter().cloned());
    let exit = Leash::run(&command, &[], &out, &log)?.wait(LIMIT)?;
    let read = |path: &Path| fs::read_to_string(path).map_err(Error::io(format!("read {}", path.display())));
    // It ends with 1 after its idle time: only the count of what it read tells that it was well.
    if !read(&log)?.contains("Processed a total of") {
        return Err(Error::Died {
            what: tool.to_owned(),
            exit: exit.to_string(),
            log_tail: node::tail(&log),
        });
    }
    read(&out)
}

/// `CreateTime:1700000000000\tPartition:3\tOffset:17\tNO_HEADERS\tkey\tvalue`.
fn parse(line: &str) -> Result<Printed, Error> {
    let mut fields = line.splitn(4, '\t');
    let timestamp = fields.next().and_then(|field| match field {
        "NO_TIMESTAMP" => Some(-1),
        _ => field.split_once(':')?.1.parse().ok(),
    });
    let partition = fields.next().and_then(|field| field.strip_prefix("Partition:")?.parse().ok());
    let offset = fields.next().and_then(|field| field.strip_prefix("Offset:")?.parse().ok());
    match (partition, offset, timestamp, fields.next()) {
        (Some(partition), Some(offset), Some(timestamp), Some(text)) => {
            Ok(Printed { partition, offset, timestamp, text: text.to_owned() })
        }
        _ => Err(Error::Refused(format!("kafka-console-consumer printed {line:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whole_and_others_are_refused() {
        let text = "NO_HEADERS\tnull\ta value: 1".to_owned();
        let printed = Printed { partition: 3, offset: 17, timestamp: -1, text };
        let line = "CreateTime:-1\tPartition:3\tOffset:17\tNO_HEADERS\tnull\ta value: 1";
        assert_eq!(parse(line).unwrap(), printed);
        for odd in
            ["a value", "CreateTime:1\tPartition:x\tOffset:17\tv", "CreateTime:1\tPartition:3\tOffset:17"]
        {
            assert!(parse(odd).unwrap_err().to_string().contains(odd.split('\t').next().unwrap()));
        }
    }
}

//! What `lockstep verify` says: progress on standard error (a live line on a terminal, plain ones otherwise), then
//! one line per topic and a closing one on standard output; with `-o json` one object instead.
//! Never says "identical" of a topic with a doubt.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime};

use indicatif::ProgressBar;
use lockstep_agent::verify::groups::{GroupFinding, GroupVerdict};
use lockstep_agent::verify::{Differing, Doubt, Phase, Progress, Report, TopicReport};
use lockstep_core::verify::{Note, Verdict};
use serde_json::{Value, json};

use super::{Output, live_line, units};

/// Rates are taken over this long.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// The voice of one comparison.
pub(crate) struct Show {
    output: Output,
    interval: Duration,
    last_line: Instant,
    /// The last few seconds.
    samples: VecDeque<(Instant, Progress)>,
    bar: Option<ProgressBar>,
}

impl Show {
    pub(crate) fn new(output: Output, interval: Duration) -> Self {
        let live = std::io::stderr().is_terminal();
        Self {
            output,
            interval,
            last_line: Instant::now(),
            samples: VecDeque::new(),
            bar: live.then(live_line),
        }
    }

    /// New figures: the live line, or a plain one when its time has come.
    pub(crate) fn progress(&mut self, progress: &Progress) {
        let now = Instant::now();
        self.samples.push_back((now, *progress));
        while self.samples.len() > 2 && now - self.samples[0].0 > RATE_WINDOW {
            self.samples.pop_front();
        }
        let line = self.progress_line(progress);
        if let Some(bar) = &self.bar {
            bar.set_message(line);
        } else if now - self.last_line >= self.interval {
            self.last_line = now;
            let time = humantime::format_rfc3339_seconds(SystemTime::now());
            eprintln!("{time}  {line}");
        }
    }

    /// Takes the live line away.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// The result.
    pub(crate) fn end(&self, report: &Report) {
        match self.output {
            Output::Json | Output::Yaml => print!("{}", self.output.document(&report_json(report))),
            Output::Table | Output::Wide => {
                for line in topic_lines(&report.topics) {
                    println!("{line}");
                }
                for line in group_lines(&report.groups) {
                    println!("{line}");
                }
                println!("{}", closing_line(report));
            }
        }
    }

    fn progress_line(&self, progress: &Progress) -> String {
        let waiting = match progress.phase {
            Phase::Starting => return "reading where the logs start and end".to_owned(),
            Phase::Waiting { behind_offsets, partitions } => Some((behind_offsets, partitions)),
            Phase::Finishing => return "reading once more where the logs end".to_owned(),
            Phase::Comparing => None,
        };
        if let Some((behind, partitions)) = waiting {
            let (behind, partitions) = (counted(behind, "offset"), counted(partitions as u64, "partition"));
            return format!("waiting for the destination: {behind} behind in {partitions}");
        }
        let (offsets, records, bytes) = self.rates();
        let left = progress.offsets_total.saturating_sub(progress.offsets_done);
        let percent = (progress.offsets_done * 100).checked_div(progress.offsets_total).unwrap_or(100);
        let mut line = format!(
            "comparing  {percent} %  {} left  {}/s  {} records/s",
            counted(left, "offset"),
            units::bytes(bytes as u64),
            units::count(records as u64),
        );
        if left > 0 && offsets >= 1.0 {
            let eta = Duration::from_secs_f64(left as f64 / offsets);
            line.push_str(&format!("  ETA {}", units::duration(eta)));
        }
        line
    }

    /// Offsets, records and bytes per second.
    fn rates(&self) -> (f64, f64, f64) {
        let (Some((began, first)), Some((ended, last))) = (self.samples.front(), self.samples.back()) else {
            return (0.0, 0.0, 0.0);
        };
        let seconds = (*ended - *began).as_secs_f64().max(0.001);
        let rate =
            |figure: fn(&Progress) -> u64| (figure(last).saturating_sub(figure(first))) as f64 / seconds;
        (rate(|p| p.offsets_done), rate(|p| p.records), rate(|p| p.bytes))
    }
}

/// Groups that are not the same, by name, and how many are.
fn group_lines(groups: &[GroupFinding]) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in groups {
        let text = match &finding.verdict {
            GroupVerdict::Same => continue,
            GroupVerdict::Different(what) => format!("DIFFERENT   {what}"),
            GroupVerdict::Unknown(why) => format!("UNKNOWN   could not tell: {why}"),
            GroupVerdict::NotCopied(why) => format!("not compared: {why}"),
        };
        lines.push(format!("group {}   {text}", finding.group));
    }
    let same: Vec<_> = groups.iter().filter(|f| f.verdict == GroupVerdict::Same).collect();
    if !same.is_empty() {
        let offsets: usize = same.iter().map(|finding| finding.offsets_compared).sum();
        lines.push(format!(
            "{}, {}: the next record is the same on both sides",
            counted(same.len() as u64, "group"),
            counted(offsets as u64, "offset")
        ));
    }
    lines
}

fn group_json(finding: &GroupFinding) -> Value {
    let (result, reason) = match &finding.verdict {
        GroupVerdict::Same => ("same", None),
        GroupVerdict::Different(what) => ("different", Some(what)),
        GroupVerdict::Unknown(why) => ("unknown", Some(why)),
        GroupVerdict::NotCopied(why) => ("not_copied", Some(why)),
    };
    json!({ "group": &*finding.group, "result": result, "reason": reason,
        "offsets_compared": finding.offsets_compared })
}

fn topic_lines(topics: &[TopicReport]) -> Vec<String> {
    let name = topics.iter().map(|t| t.names().chars().count()).max().unwrap_or(0);
    let figures: Vec<_> = topics
        .iter()
        .map(|t| (counted(t.partitions as u64, "partition"), counted(t.records_compared, "record")))
        .collect();
    let partitions = figures.iter().map(|f| f.0.len()).max().unwrap_or(0);
    let records = figures.iter().map(|f| f.1.len()).max().unwrap_or(0);
    let line = |(topic, figures): (&TopicReport, &(String, String))| {
        format!(
            "{:name$}   {:>partitions$}   {:>records$}   {}",
            topic.names(),
            figures.0,
            figures.1,
            topic_result(topic)
        )
    };
    topics.iter().zip(&figures).map(line).collect()
}

/// The verdict, its reasons, and notes in brackets.
fn topic_result(topic: &TopicReport) -> String {
    let mut text = match topic.verdict {
        Verdict::Identical => "identical".to_owned(),
        Verdict::Different => format!("DIFFERENT   {}", first_difference(topic)),
        Verdict::Unknown => format!("UNKNOWN   could not tell: {}", first_doubt(topic)),
    };
    if topic.verdict == Verdict::Different && !topic.doubts.is_empty() {
        text.push_str(&format!("; could not tell: {}", first_doubt(topic)));
    }
    let notes: Vec<_> = topic.notes.iter().map(|(note, offsets)| note_text(topic, *note, *offsets)).collect();
    if !notes.is_empty() {
        text.push_str(&format!("   ({})", notes.join("; ")));
    }
    text
}

fn first_difference(topic: &TopicReport) -> String {
    let Some(first) = topic.differences.first() else { return String::new() };
    let mut text = difference_text(first);
    // Findings keep only the first few in words: the count of records goes beyond them.
    let more = topic.records_different.max(topic.differences.len() as u64) - 1;
    if more > 0 {
        let least = if topic.partitions_cut_short > 0 { "at least " } else { "" };
        text.push_str(&format!(" (and {least}{} more)", units::count(more)));
    }
    text
}

fn difference_text(difference: &Differing) -> String {
    match difference.at {
        None => difference.what.clone(),
        Some((partition, offset)) => {
            format!(
                "partition {partition} offset {}: {}",
                units::count(offset.unsigned_abs()),
                difference.what
            )
        }
    }
}

fn first_doubt(topic: &TopicReport) -> String {
    let Some(first) = topic.doubts.first() else { return String::new() };
    let text = match first.partition {
        None => first.why.clone(),
        Some(partition) => format!("partition {partition}: {}", first.why),
    };
    match topic.doubts.len() - 1 {
        0 => text,
        more => format!("{text} (and {more} more)"),
    }
}

fn note_text(topic: &TopicReport, note: Note, offsets: u64) -> String {
    let (are, were) = if offsets == 1 { ("is", "was") } else { ("are", "were") };
    let subject = counted(offsets, "offset");
    match note {
        Note::WithoutRecord => without_record(topic, offsets),
        Note::Compacted => {
            let one = if offsets == 1 { "record is" } else { "records are" };
            format!("{} {one} on one side only: compacted on the other", units::count(offsets))
        }
        Note::OlderOnDestination => {
            format!("{subject} from before the source's log start {are} kept on the destination")
        }
        Note::NotYetDeleted => {
            format!(
                "{subject} of fillers below the source's log start {are} not yet deleted on the destination"
            )
        }
        Note::HeldBack => {
            let place = topic.stable_to.map_or(String::new(), |(partition, offset)| {
                format!(" (partition {partition}: {})", units::count(offset.unsigned_abs()))
            });
            format!(
                "compared up to the last stable offset{place}: {subject} above it {are} undecided, an open transaction holds them back"
            )
        }
        Note::Expired => format!("{subject} {were} removed by retention before being compared"),
    }
}

/// Offsets that no read_committed consumer sees, and what holds them on each side.
fn without_record(topic: &TopicReport, offsets: u64) -> String {
    let (here, there) = (topic.source_unseen, topic.dest_unseen);
    let subject = counted(offsets, "offset");
    if here.markers == offsets && there.markers == offsets {
        return format!("{subject} held by markers on both sides");
    }
    let mut text = format!("{subject} without a record on either side");
    if here.markers > 0 || there.markers > 0 {
        let (here, there) = (units::count(here.markers), units::count(there.markers));
        text.push_str(&format!(", held by markers: {here} here, {there} there"));
    }
    if there.markers > here.markers {
        // What stands here instead, as far as it can be told.
        let rolled_back = here.rolled_back.saturating_sub(there.rolled_back);
        let mut stands = Vec::new();
        if rolled_back > 0 {
            stands.push(format!("{} here", counted(rolled_back, "rolled-back record")));
        }
        if there.markers - here.markers > rolled_back {
            stands.push("holes here".to_owned());
        }
        text.push_str(&format!(" ({} are markers there)", stands.join(" and ")));
    }
    text
}

fn closing_line(report: &Report) -> String {
    let total = report.topics.len();
    let having = |verdict| report.topics.iter().filter(|topic| topic.verdict == verdict).count();
    let (different, unknown) = (having(Verdict::Different), having(Verdict::Unknown));
    // Groups that are not copied for what they are have no share.
    let groups: Vec<_> = report.groups.iter().filter_map(GroupFinding::verdict).collect();
    let of_all = |count, wanted| {
        let topics = format!("{count} of {}", counted(total as u64, "topic"));
        match groups.iter().filter(|verdict| **verdict == wanted).count() {
            0 => topics,
            some => format!("{topics}, {some} of {}", counted(groups.len() as u64, "group")),
        }
    };
    let result = match report.verdict() {
        Verdict::Identical if groups.is_empty() => format!("identical: {}", counted(total as u64, "topic")),
        Verdict::Identical => {
            format!(
                "identical: {}, {}",
                counted(total as u64, "topic"),
                counted(groups.len() as u64, "group")
            )
        }
        Verdict::Unknown => format!("could not tell: {}", of_all(unknown, Verdict::Unknown)),
        Verdict::Different if unknown > 0 => {
            format!("different: {}; could not tell: {unknown}", of_all(different, Verdict::Different))
        }
        Verdict::Different => format!("different: {}", of_all(different, Verdict::Different)),
    };
    let (records, took) = (counted(report.records_compared(), "record"), units::duration(report.duration));
    let mut line = format!("{result}. {records}, {} in {took}.", units::bytes(report.bytes_compared()));
    if let Some(first) = report.dest_only.first() {
        let count = counted(report.dest_only.len() as u64, "matching topic");
        line.push_str(&format!(" Not compared: {count} on the destination only (first: {first})."));
    }
    line
}

fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", units::count(number), if number == 1 { "" } else { "s" })
}

fn report_json(report: &Report) -> Value {
    let having = |verdict| report.topics.iter().filter(|topic| topic.verdict == verdict).count();
    json!({
        "result": verdict_name(report.verdict()),
        "source_cluster_id": report.source_cluster,
        "destination_cluster_id": report.dest_cluster,
        "topics_identical": having(Verdict::Identical),
        "topics_different": having(Verdict::Different),
        "topics_unknown": having(Verdict::Unknown),
        "records_compared": report.records_compared(),
        "bytes_compared": report.bytes_compared(),
        "topics_on_destination_only": report.dest_only.iter().map(|name| &**name).collect::<Vec<_>>(),
        "duration_seconds": report.duration.as_secs_f64(),
        "topics": report.topics.iter().map(topic_json).collect::<Vec<_>>(),
        "groups": report.groups.iter().map(group_json).collect::<Vec<_>>(),
    })
}

fn topic_json(topic: &TopicReport) -> Value {
    let difference = |d: &Differing| {
        let (partition, offset) = d.at.unzip();
        json!({ "partition": partition, "offset": offset, "what": d.what })
    };
    let doubt = |d: &Doubt| json!({ "partition": d.partition, "why": d.why });
    let note = |(note, offsets): (&Note, &u64)| json!({ "kind": note.name(), "offsets": offsets, "text": note_text(topic, *note, *offsets) });
    json!({
        "topic": &*topic.topic,
        "dest_topic": &*topic.dest_topic,
        "partitions": topic.partitions,
        "records_compared": topic.records_compared,
        "bytes_compared": topic.bytes_compared,
        "result": verdict_name(topic.verdict),
        "records_different": topic.records_different,
        "partitions_cut_short": topic.partitions_cut_short,
        "differences": topic.differences.iter().map(difference).collect::<Vec<_>>(),
        "markers_source": topic.source_unseen.markers,
        "markers_destination": topic.dest_unseen.markers,
        "records_rolled_back_source": topic.source_unseen.rolled_back,
        "records_rolled_back_destination": topic.dest_unseen.rolled_back,
        "unknown": topic.doubts.iter().map(doubt).collect::<Vec<_>>(),
        "notes": topic.notes.iter().map(note).collect::<Vec<_>>(),
    })
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Identical => "identical",
        Verdict::Unknown => "unknown",
        Verdict::Different => "different",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::verify::Unseen;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn topic(name: &str, verdict: Verdict, records: u64) -> TopicReport {
        TopicReport {
            topic: Arc::from(name),
            dest_topic: Arc::from(name),
            partitions: 12,
            records_compared: records,
            bytes_compared: 1_000,
            verdict,
            records_different: 0,
            differences: Vec::new(),
            doubts: Vec::new(),
            partitions_cut_short: 0,
            notes: BTreeMap::new(),
            source_unseen: Unseen::default(),
            dest_unseen: Unseen::default(),
            stable_to: None,
        }
    }

    fn report(topics: Vec<TopicReport>) -> Report {
        let clusters = ("a".to_owned(), "b".to_owned());
        Report {
            source_cluster: clusters.0,
            dest_cluster: clusters.1,
            topics,
            groups: Vec::new(),
            dest_only: Vec::new(),
            duration: Duration::from_secs(71),
        }
    }

    #[test]
    fn one_line_per_topic_and_a_closing_one() {
        let mut events = topic("claims.events", Verdict::Identical, 41_208_113);
        events.notes.insert(Note::WithoutRecord, 1_118);
        events.source_unseen.markers = 1_118;
        events.dest_unseen.markers = 1_118;
        let mut photos = topic("photos", Verdict::Different, 2_400_871);
        photos
            .differences
            .push(Differing { at: Some((3, 88_120)), what: "value 1 bytes here, null there".to_owned() });
        photos.records_different = 4;
        let report = report(vec![events, photos]);
        assert_eq!(
            topic_lines(&report.topics),
            [
                "claims.events   12 partitions   41,208,113 records   identical   (1,118 offsets held by markers on both sides)",
                "photos          12 partitions    2,400,871 records   DIFFERENT   partition 3 offset 88,120: value 1 bytes here, null there (and 3 more)",
            ]
        );
        assert_eq!(
            closing_line(&report),
            "different: 1 of 2 topics. 43,608,984 records, 2.0 kB in 1 m 11 s."
        );
    }

    #[test]
    fn a_doubt_is_never_called_identical() {
        let mut doubtful = topic("t", Verdict::Unknown, 5);
        doubtful.doubts.push(Doubt { partition: Some(2), why: "no leader for 30 s".to_owned() });
        assert_eq!(topic_result(&doubtful), "UNKNOWN   could not tell: partition 2: no leader for 30 s");
        let both = report(vec![topic("a", Verdict::Identical, 1), doubtful.clone()]);
        assert!(closing_line(&both).starts_with("could not tell: 1 of 2 topics. "));
        doubtful.verdict = Verdict::Different;
        doubtful.differences.push(Differing { at: None, what: "2 partitions here, 1 there".to_owned() });
        assert_eq!(
            topic_result(&doubtful),
            "DIFFERENT   2 partitions here, 1 there; could not tell: partition 2: no leader for 30 s"
        );
    }

    #[test]
    fn markers_that_stand_for_something_else_are_said() {
        let text = |offsets, here: (u64, u64), there: (u64, u64)| {
            let mut topic = topic("t", Verdict::Identical, 1);
            let unseen = |(markers, rolled_back)| Unseen { markers, rolled_back };
            (topic.source_unseen, topic.dest_unseen) = (unseen(here), unseen(there));
            without_record(&topic, offsets)
        };
        let both = "offsets without a record on either side";
        assert_eq!(text(9, (0, 0), (0, 0)), format!("9 {both}"));
        assert_eq!(
            text(9, (2, 5), (9, 0)),
            format!(
                "9 {both}, held by markers: 2 here, 9 there (5 rolled-back records here and holes here are markers there)"
            )
        );
        assert_eq!(
            text(7, (2, 5), (7, 0)),
            format!(
                "7 {both}, held by markers: 2 here, 7 there (5 rolled-back records here are markers there)"
            )
        );
        assert_eq!(text(7, (2, 5), (2, 5)), format!("7 {both}, held by markers: 2 here, 2 there"));
    }

    #[test]
    fn an_open_transaction_and_topics_of_the_destination_alone_are_said() {
        let mut held = topic("t", Verdict::Identical, 5);
        held.notes.insert(Note::HeldBack, 20);
        held.stable_to = Some((3, 1_080));
        assert_eq!(
            topic_result(&held),
            "identical   (compared up to the last stable offset (partition 3: 1,080): 20 offsets above it are undecided, an open transaction holds them back)"
        );
        let mut report = report(vec![held]);
        report.dest_only = vec![Arc::from("own"), Arc::from("other")];
        assert!(
            closing_line(&report)
                .ends_with(" Not compared: 2 matching topics on the destination only (first: own).")
        );
        assert_eq!(report_json(&report)["topics_on_destination_only"], json!(["own", "other"]));
    }

    #[test]
    fn json_names_are_stable() {
        let mut different = topic("t", Verdict::Different, 5);
        different.differences.push(Differing { at: Some((1, 7)), what: "missing".to_owned() });
        different.notes.insert(Note::OlderOnDestination, 3);
        let json = report_json(&report(vec![different]));
        assert_eq!(json["result"], "different");
        assert_eq!(json["duration_seconds"], 71.0);
        let topic = &json["topics"][0];
        assert_eq!((&topic["topic"], &topic["records_compared"]), (&json!("t"), &json!(5)));
        assert_eq!(topic["differences"][0], json!({ "partition": 1, "offset": 7, "what": "missing" }));
        assert_eq!(topic["notes"][0]["kind"], "older_on_destination");
        assert_eq!(topic["notes"][0]["offsets"], 3);
        assert_eq!(topic["unknown"], json!([]));
    }
}

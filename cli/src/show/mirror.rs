//! What `lockstep mirror` says: the plan, progress (a live line on a terminal, plain lines otherwise), partitions
//! that stopped as soon as they do, and a summary. With `-o json` one object per line, each with a `kind`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime};

use indicatif::ProgressBar;
use lockstep_agent::link::topics::Planned;
use lockstep_agent::pipeline::groups::report::GroupsReport;
use lockstep_agent::pipeline::open_transactions::OpenTransaction;
use lockstep_agent::pipeline::report::{LinkReport, PartitionReport};
use lockstep_core::mirror::WallMillis;
use lockstep_core::mirror::partition::Phase;
use serde_json::{Value, json};

use super::drift::drift_json;
use super::plan::{planned_json, planned_line};
use super::waits::{ANOTHER_MIRROR, kind_of_wait};
use super::{Output, groups, live_line, posture, units};

/// Rates are taken over this long.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// A partition that is not open for so long is worth a word.
const SAID_AFTER: Duration = Duration::from_secs(5);

/// The voice of one run.
pub(crate) struct Show {
    output: Output,
    /// The link's name.
    link: String,
    interval: Duration,
    started: Instant,
    last_line: Instant,
    /// (when, bytes, records) of the last few seconds.
    samples: VecDeque<(Instant, u64, u64)>,
    bar: Option<ProgressBar>,
    /// What has been said about a partition or topic, so that it is said once.
    said: BTreeMap<String, String>,
    /// Why partitions are not open, and since when.
    waits: BTreeMap<String, Instant>,
}

struct Rate {
    bytes_per_second: f64,
    records_per_second: f64,
}

impl Show {
    pub(crate) fn new(output: Output, interval: Duration) -> Self {
        let live = output.is_for_people() && std::io::stderr().is_terminal();
        Self {
            output,
            link: String::new(),
            interval,
            started: Instant::now(),
            last_line: Instant::now(),
            samples: VecDeque::new(),
            bar: live.then(live_line),
            said: BTreeMap::new(),
            waits: BTreeMap::new(),
        }
    }

    /// What will be done on the destination.
    pub(crate) fn plan(&mut self, link: &str, plan: &[Planned]) {
        link.clone_into(&mut self.link);
        if !self.output.is_for_people() {
            let topics: Vec<_> = plan.iter().map(planned_json).collect();
            self.json(&json!({ "kind": "plan", "link": link, "topics": topics }));
            return;
        }
        let partitions: usize = plan.iter().map(|p| p.source.partitions).sum();
        self.say(&format!(
            "link {link}: {} topics, {} partitions",
            plan.len(),
            units::count(partitions as u64)
        ));
        for planned in plan {
            if let Some(line) = planned_line(planned) {
                self.say(&line);
            }
        }
    }

    /// A new report: the live line, or a plain one when its time has come.
    pub(crate) fn progress(&mut self, report: &LinkReport) {
        self.say_news(report);
        let now = Instant::now();
        self.samples.push_back((now, report.copied_bytes, report.copied_records));
        while self.samples.len() > 2 && now - self.samples[0].0 > RATE_WINDOW {
            self.samples.pop_front();
        }
        let rate = self.rate();
        if let Some(bar) = &self.bar {
            bar.set_message(progress_line(report, &rate));
        } else if now - self.last_line >= self.interval {
            self.last_line = now;
            match self.output {
                Output::Json | Output::Yaml => {
                    let mut progress = progress_json(report, &rate);
                    posture::add(&mut progress, &posture::judge(&self.link, report));
                    self.json(&progress);
                }
                Output::Table | Output::Wide => {
                    let time = humantime::format_rfc3339_seconds(SystemTime::now());
                    self.say(&format!("{time}  {}", progress_line(report, &rate)));
                }
            }
        }
    }

    pub(crate) fn stopping(&mut self) {
        if self.output.is_for_people() {
            self.say("stopping: waiting for the appends in flight");
        }
    }

    /// The last word.
    pub(crate) fn end(&mut self, report: &LinkReport, interrupted: bool) {
        self.say_news(report);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let elapsed = self.started.elapsed();
        let stopped = report.stopped().count();
        if !self.output.is_for_people() {
            let mut end = progress_json(report, &self.rate());
            end["kind"] = json!("end");
            end["interrupted"] = json!(interrupted);
            end["duration_seconds"] = json!(elapsed.as_secs_f64());
            end["partitions_stopped"] = report.stopped().map(stopped_json).collect();
            end["topics_blocked"] =
                report.blocked_topics.iter().map(|(t, why)| json!({ "topic": t, "reason": why })).collect();
            self.json(&end);
            return;
        }
        let caught_up = report.partitions.iter().filter(|p| p.phase == Phase::CaughtUp).count();
        let mut line = format!(
            "copied {} records, {} in {}. {caught_up} of {} partitions caught up",
            units::count(report.copied_records),
            units::bytes(report.copied_bytes),
            units::duration(elapsed),
            report.partitions.len(),
        );
        if report.aligned_offsets > 0 {
            line.push_str(&format!(", {} offsets aligned", units::count(report.aligned_offsets)));
        }
        if stopped > 0 {
            line.push_str(&format!(", {stopped} stopped"));
        }
        if report.lost_records() > 0 {
            line.push_str(&format!(", {} LOST at the source", units::count(report.lost_records())));
        }
        let groups = groups::summary(&report.groups);
        if !groups.is_empty() {
            line.push_str(&format!(", {groups}"));
        }
        self.say(&line);
    }

    /// Partitions that stopped, topics that are blocked, brokers that fell silent: once each.
    fn say_news(&mut self, report: &LinkReport) {
        for partition in report.stopped() {
            let Phase::Stopped(verdict) = &partition.phase else { continue };
            let json = json!({ "kind": "stopped", "partition": stopped_json(partition) });
            let text = format!("{}: {verdict}\n  remedy  {}", partition.twin(), verdict.remedy());
            self.once(partition.tp.to_string(), text, &json);
        }
        for (topic, why) in &report.blocked_topics {
            let json = json!({ "kind": "blocked", "topic": topic, "reason": why });
            self.once(
                format!("topic {topic}"),
                format!("{topic}: not mirrored as things stand: {why}"),
                &json,
            );
        }
        for partition in &report.partitions {
            if let Some(start) = partition.held_back {
                let text = format!(
                    "{}: the source deleted records before offset {start} and its retention is no reason: kept here (--propagate all follows)",
                    partition.twin()
                );
                let json = json!({ "kind": "kept", "topic": &*partition.tp.topic, "dest_topic": &*partition.dest_topic,
                    "partition": partition.tp.partition, "source_start_offset": start.0 });
                self.once(format!("kept {}", partition.tp), text, &json);
            }
        }
        for partition in &report.partitions {
            self.say_offsets(partition);
        }
        self.say_waits(report);
        self.say_drift(report);
        self.say_groups(&report.groups);
        if let Some(missing) = &report.missing_right {
            let json = json!({ "kind": "missing_right", "reason": missing });
            self.once("right".to_owned(), missing.clone(), &json);
        } else if self.said.remove("right").is_some() {
            let json = json!({ "kind": "right_granted" });
            let text = "the right to write control records is granted: markers from now on".to_owned();
            self.once("granted".to_owned(), text, &json);
            self.said.remove("granted");
        }
        self.say_refusals(posture::refusals(report));
        let silent = report.silent.join("; ");
        if !silent.is_empty() {
            let json = json!({ "kind": "silent", "reason": silent });
            self.once("silent".to_owned(), format!("no answer: {silent}"), &json);
        } else if self.said.remove("silent").is_some() {
            let json = json!({ "kind": "answering" });
            self.once("answering".to_owned(), "both clusters answer again".to_owned(), &json);
            self.said.remove("answering");
        }
    }

    fn say_refusals(&mut self, refused: String) {
        if !refused.is_empty() {
            let json = json!({ "kind": "refused", "reason": refused });
            self.once("refused".to_owned(), refused, &json);
        } else if self.said.remove("refused").is_some() {
            let text = "nothing is refused any more".to_owned();
            self.once("granted".to_owned(), text, &json!({ "kind": "granted" }));
            self.said.remove("granted");
        }
    }

    /// Why partitions are not open, once that has lasted for some seconds: one line for each reason. Behind another
    /// mirror nobody waits by chance: that is said at once.
    fn say_waits(&mut self, report: &LinkReport) {
        let mut reasons: BTreeMap<&str, (usize, &PartitionReport)> = BTreeMap::new();
        for partition in &report.partitions {
            if let (Phase::Opening, Some(trouble)) = (&partition.phase, &partition.trouble) {
                reasons.entry(kind_of_wait(trouble)).or_insert((0, partition)).0 += 1;
            }
        }
        self.waits.retain(|reason, _| reasons.contains_key(reason.as_str()));
        for (wait, (count, first)) in reasons {
            let since = *self.waits.entry(wait.to_owned()).or_insert_with(Instant::now);
            if since.elapsed() < SAID_AFTER && wait != ANOTHER_MIRROR {
                continue;
            }
            let reason = first.trouble.as_deref().unwrap_or(wait);
            let others = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            let json = json!({ "kind": "waiting", "topic": &*first.tp.topic, "dest_topic": &*first.dest_topic, "partition": first.tp.partition,
                "partitions": count, "reason": reason });
            let key = format!("waits {wait}");
            if !self.said.contains_key(&key) {
                self.once(key, format!("{}{others}: not open yet: {reason}", first.twin()), &json);
            }
        }
    }

    /// Groups that are skipped, and what holds all of them up.
    fn say_groups(&mut self, report: &GroupsReport) {
        for news in groups::news(report) {
            match news.words {
                Some((text, json)) => self.once(news.key, text, &json),
                None => drop(self.said.remove(&news.key)),
            }
        }
    }

    /// Settings of standby topics that are not as their owners have them; what was put back, each time.
    fn say_drift(&mut self, report: &LinkReport) {
        let here: BTreeSet<String> =
            report.drift.iter().map(|d| format!("drift {} {}", d.topic, d.field)).collect();
        // What ended and comes again is news.
        self.said.retain(|key, _| !key.starts_with("drift ") || here.contains(key));
        for drift in &*report.drift {
            let mut json = drift_json(drift);
            json["kind"] = json!("drift");
            let key = format!("drift {} {}", drift.topic, drift.field);
            self.once(key, format!("{}: {drift}", drift.topic), &json);
        }
    }

    /// What a partition has lost, what it is filling, and who holds it back.
    fn say_offsets(&mut self, partition: &PartitionReport) {
        let (tp, topic, there) = (partition.twin(), &*partition.tp.topic, &*partition.dest_topic);
        for span in &partition.lost {
            let text = format!(
                "{tp}: LOST: the source deleted offsets {} to {} before they were copied ({} offsets)",
                span.from,
                span.next,
                units::count(span.offsets())
            );
            let json = json!({ "kind": "lost", "topic": topic, "dest_topic": there, "partition": partition.tp.partition,
                "from_offset": span.from.0, "to_offset": span.next.0 });
            self.once(format!("lost {tp} {}", span.from), text, &json);
        }
        let key = format!("refused {tp}");
        match &partition.delete_refused {
            Some(why) => {
                let json = json!({ "kind": "not_deleted", "topic": topic, "partition": partition.tp.partition, "reason": why });
                self.once(key, format!("{tp}: {why}"), &json);
            }
            None => {
                self.said.remove(&key);
            }
        }
        if let Some(cost) = partition.aligning {
            let json = json!({ "kind": "aligning", "topic": topic, "dest_topic": there, "partition": partition.tp.partition,
                "offsets": cost.offsets, "bytes": cost.bytes, "seconds": cost.milliseconds as f64 / 1_000.0 });
            self.once(format!("aligning {tp}"), format!("{tp}: aligning {cost}"), &json);
        }
        if partition.tombstones_at_risk {
            let text = format!(
                "{tp}: the mirror was behind for longer than the source's delete.retention.ms: keys deleted meanwhile may live on here\n  remedy  lockstep verify tells; delete the topic on the destination to copy it anew"
            );
            let json = json!({ "kind": "tombstones_at_risk", "topic": topic, "dest_topic": there, "partition": partition.tp.partition });
            self.once(format!("tombstones {tp}"), text, &json);
        }
        let key = format!("hanging {tp}");
        match partition.hanging {
            Some(open) => {
                let json = json!({ "kind": "held_back", "topic": topic, "dest_topic": there, "partition": partition.tp.partition,
                    "producer_id": open.producer_id, "from_offset": open.start.0,
                    "last_record_timestamp_ms": open.last_timestamp_ms });
                self.once(key, format!("{tp}: held back at the source: {}", held_back(&open)), &json);
            }
            None => {
                self.said.remove(&key);
            }
        }
    }

    fn once(&mut self, key: String, text: String, json: &Value) {
        if self.said.get(&key) == Some(&text) {
            return;
        }
        match self.output {
            Output::Json | Output::Yaml => self.json(json),
            Output::Table | Output::Wide => self.say(&text),
        }
        self.said.insert(key, text);
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    fn json(&self, value: &Value) {
        print!("{}", self.output.one_of_many(value));
    }

    fn rate(&self) -> Rate {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return Rate { bytes_per_second: 0.0, records_per_second: 0.0 };
        };
        let seconds = (last.0 - first.0).as_secs_f64().max(0.001);
        Rate {
            bytes_per_second: last.1.saturating_sub(first.1) as f64 / seconds,
            records_per_second: last.2.saturating_sub(first.2) as f64 / seconds,
        }
    }
}

fn held_back(open: &OpenTransaction) -> String {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let silent = open.silent_for(WallMillis(i64::try_from(wall).unwrap_or(i64::MAX)));
    let age = silent.map(|age| format!(", its last record {} ago", units::duration(age))).unwrap_or_default();
    format!("{open}{age}")
}

fn progress_line(report: &LinkReport, rate: &Rate) -> String {
    let opening = report.partitions.iter().filter(|p| p.lag_records().is_none()).count();
    let lag = report.lag_records();
    let state = if report.is_caught_up() { "caught up" } else { "copying" };
    let mut line = format!(
        "{state}  {} records behind{}  {}/s  {} records/s  {} copied",
        units::count(lag),
        if opening > 0 { format!(" + {opening} partitions not open yet") } else { String::new() },
        units::bytes(rate.bytes_per_second as u64),
        units::count(rate.records_per_second as u64),
        units::bytes(report.copied_bytes),
    );
    if lag > 0 && rate.records_per_second >= 1.0 {
        let left = Duration::from_secs_f64(lag as f64 / rate.records_per_second);
        line.push_str(&format!("  ETA {}", units::duration(left)));
    }
    line.push_str(&format!("  exposure {}", posture::exposure_text(report.exposure())));
    let hanging = report.partitions.iter().filter(|p| p.hanging.is_some()).count();
    if hanging > 0 {
        line.push_str(&format!("  {hanging} held back by open transactions"));
    }
    let groups = groups::summary(&report.groups);
    if !groups.is_empty() {
        line.push_str(&format!("  {groups}"));
    }
    let stopped = report.stopped().count();
    let drift = report.open_drift().count();
    if drift > 0 {
        line.push_str(&format!("  {drift} settings drift"));
    }
    if stopped > 0 {
        line.push_str(&format!("  {stopped} STOPPED"));
    }
    line
}

fn progress_json(report: &LinkReport, rate: &Rate) -> Value {
    let in_phase = |wanted: fn(&Phase) -> bool| report.partitions.iter().filter(|p| wanted(&p.phase)).count();
    json!({
        "kind": "progress",
        "caught_up": report.is_caught_up(),
        "copied_records": report.copied_records,
        "copied_bytes": report.copied_bytes,
        "bytes_per_second": rate.bytes_per_second,
        "records_per_second": rate.records_per_second,
        "lag_records": report.lag_records(),
        "aligned_offsets": report.aligned_offsets,
        "lost_records": report.lost_records(),
        "memory_bytes": report.memory_bytes,
        "memory_max_bytes": report.memory_bytes_max,
        "exposure": posture::exposure_json(report.exposure()),
        "drift": report.open_drift().count(),
        "groups": groups::summary_json(&report.groups),
        "partitions": {
            "total": report.partitions.len(),
            "opening": in_phase(|p| *p == Phase::Opening),
            "copying": in_phase(|p| *p == Phase::Copying),
            "caught_up": in_phase(|p| *p == Phase::CaughtUp),
            "draining": in_phase(|p| *p == Phase::Draining),
            "stopped": in_phase(|p| matches!(p, Phase::Stopped(_))),
        },
    })
}

fn stopped_json(partition: &PartitionReport) -> Value {
    let Phase::Stopped(verdict) = &partition.phase else { return Value::Null };
    json!({
        "topic": &*partition.tp.topic, "dest_topic": &*partition.dest_topic,
        "partition": partition.tp.partition,
        "verdict": verdict.name(),
        "reason": verdict.to_string(),
        "remedy": verdict.remedy(),
        "replicated_offset": partition.durable.map(|offset| offset.0),
        "source_end_offset": partition.source_end.map(|offset| offset.0),
    })
}

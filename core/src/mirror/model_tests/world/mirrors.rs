//! The mirrors of the simulated world: what they are fed, what they ask for, how they are started and killed, and
//! what becomes of requests on a connection that breaks. Tests only.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::looks::Look;
use super::{Asked, Body, Event, LIMBO_MS, Mirror, OURS, Request, World};
use crate::ids::TopicId;
use crate::mirror::Trouble;
use crate::mirror::copying::{Append, AppendAnswer, Filling};
use crate::mirror::cost::AlignmentBudget;
use crate::mirror::guard::Guard;
use crate::mirror::markers::{MarkerAnswer, MarkerRun};
use crate::mirror::opening::Ownership;
use crate::mirror::partition::{Action, Input, Partition, Settings};
use crate::mirror::window::Ticket;

impl World {
    pub(super) fn feed(&mut self, life: u64, input: Input<Rc<()>>) {
        let now = self.now();
        let Some(mirror) = self.mirror(life) else { return };
        let mut actions = Vec::new();
        mirror.machine.handle(input, now, &mut actions);
        for action in actions {
            self.act(life, action);
        }
        let Some(mirror) = self.mirror(life) else { return };
        if !mirror.fetching
            && let Some(position) = mirror.machine.wants()
        {
            mirror.fetching = true;
            self.soon(Event::Fetch { life, at: position.offset });
        }
    }

    fn act(&mut self, life: u64, action: Action<Rc<()>>) {
        match action {
            Action::Open { at, displaced } => {
                if self.tape.once_in(16) {
                    let input = Input::OpenFailed(Trouble::soon("no answer"));
                    self.at(at.0, Event::Tell { life, input });
                    return;
                }
                let delay = self.tape.delay();
                self.at(at.0.max(self.clock) + delay, Event::Look { life, displaced, look: Look::Producer });
            }
            Action::Append(append) => self.send_batch(life, append),
            Action::Mark(run) => self.send_markers(life, run),
            Action::Announce { from, cost } => {
                self.tell(format!("mirror {life} announces {cost} from {from}"));
            }
            Action::Lost(span) => panic!("nothing expires here: {span:?}"),
            Action::Receipt(receipt) => self.count_on(receipt.next.0, "a receipt"),
            Action::Opened { end } => {
                self.tell(format!("mirror {life} goes on at {end}"));
                self.count_on(end.0, "an opening");
            }
            Action::Stopped(verdict) => {
                self.tell(format!("mirror {life} stops: {verdict}"));
                self.verdicts.push(verdict);
            }
        }
    }

    /// Whatever befalls, no mirror counts on more than what stands where it belongs.
    fn count_on(&mut self, end: i64, who: &str) {
        let right = self.misplaced.map_or(self.dest.end(), |m| m.at);
        if end > right {
            self.tell(format!("COUNTED ON TOO MUCH: {who} counts on {end}, right is {right}"));
            self.counted_on_too_much = true;
        }
    }

    fn send_batch(&mut self, life: u64, append: Append) {
        self.tell(format!(
            "mirror {life} sends {} records for {} with sequence {}",
            append.batch.record_count(),
            append.expect,
            append.batch.stamp().base_sequence
        ));
        self.send(life, append.ticket, Asked::Append, Body::Batch(append.batch));
    }

    fn send_markers(&mut self, life: u64, run: MarkerRun) {
        let above = run.above_coordinator_epoch;
        self.tell(format!("mirror {life} sends {} markers for {} above {above}", run.count, run.from));
        let fewer = self.tape.once_in(8) && run.count > 1;
        let left = if fewer { 1 + self.tape.pick(run.count as usize - 1) as u32 } else { run.count };
        self.send(
            life,
            run.ticket,
            Asked::Markers,
            Body::Markers { above, left, taken: 0, run, refused: false },
        );
    }

    fn send(&mut self, life: u64, ticket: Ticket, asked: Asked, body: Body) {
        let delay = self.tape.delay();
        let clock = self.clock;
        let Some(mirror) = self.mirror(life) else { return };
        let landing = (clock + delay).max(mirror.last_landing);
        mirror.last_landing = landing;
        let connection = mirror.connection;
        mirror.unanswered.insert(ticket, asked);
        let name = self.name();
        self.requests.insert(name, Request { body, connection, asker: Some((life, ticket)) });
        self.at(landing, Event::Land { request: name });
    }

    pub(super) fn start(&mut self, slot: usize, ownership: Ownership) {
        let life = self.name();
        let connection = self.name();
        let settings = Settings {
            identity: OURS,
            guard: Guard::new(self.expiration_ms),
            filling: Filling { holes: self.holes, budget: AlignmentBudget::default() },
            buffered_bytes_max: 900,
        };
        let machine = Partition::new(settings, TopicId([1; 16]), ownership);
        self.mirrors[slot] = Some(Mirror {
            life,
            machine,
            fetching: false,
            connection,
            last_landing: 0,
            unanswered: BTreeMap::new(),
        });
        self.tell(format!("mirror {life} starts ({ownership:?})"));
        self.soon(Event::Look { life, displaced: None, look: Look::Producer });
    }

    pub(super) fn kill(&mut self, slot: usize) {
        let Some(mirror) = self.mirrors[slot].take() else { return };
        self.tell(format!("mirror {} is killed", mirror.life));
        self.leave_in_limbo(mirror.connection);
    }

    pub(super) fn break_connection(&mut self, slot: usize) {
        let fresh = self.name();
        let Some(mirror) = &mut self.mirrors[slot] else { return };
        let (life, broken) = (mirror.life, std::mem::replace(&mut mirror.connection, fresh));
        mirror.last_landing = 0;
        let unanswered = std::mem::take(&mut mirror.unanswered);
        self.tell(format!("mirror {life} loses its connection"));
        self.leave_in_limbo(broken);
        for (ticket, asked) in unanswered {
            let trouble = Trouble::soon("connection lost");
            let input = match asked {
                Asked::Append => Input::Appended { ticket, answer: AppendAnswer::Failed(trouble) },
                Asked::Markers => Input::Marked { ticket, answer: MarkerAnswer::Failed(trouble) },
            };
            self.feed(life, input);
        }
    }

    /// Of what was on its way over a connection that is no more, a prefix still lands.
    fn leave_in_limbo(&mut self, connection: u64) {
        let on_its_way: Vec<u64> =
            self.requests.iter().filter(|(_, r)| r.connection == connection).map(|(name, _)| *name).collect();
        let mut landing = self.clock;
        let mut reaches = true;
        for name in on_its_way {
            let Some(mut request) = self.requests.remove(&name) else { continue };
            reaches = reaches && self.tape.pick(4) != 0;
            if !reaches {
                continue;
            }
            request.asker = None;
            // Of a run of markers any prefix, each at its own moment.
            let pieces = match &mut request.body {
                Body::Markers { left, .. } => {
                    let pieces = 1 + self.tape.pick(*left as usize);
                    *left = 1;
                    pieces
                }
                Body::Batch(_) => 1,
            };
            for _ in 0..pieces {
                landing = (landing + self.tape.delay()).min(self.clock + LIMBO_MS);
                let late = self.name();
                self.requests.insert(late, request.clone());
                self.at(landing, Event::Land { request: late });
                if let Body::Markers { above, .. } = &mut request.body {
                    *above += 1;
                }
            }
        }
    }
}

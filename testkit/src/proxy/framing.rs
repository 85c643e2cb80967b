//! Follows Kafka's frames through a stream of bytes: notes what is asked, and hands whole answers to the hook.
//! Promises that bytes pass at once and unchanged unless a hook is set; a hook sees whole frames only.
//! What turns out not to be Kafka (a hostile server, random bytes) passes untouched from there on: judging is for
//! the client at the end.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::frame::{self, Asked};
use super::{Hooks, lock};

/// Above `socket.request.max.bytes` (100 MiB) and any answer that tests fetch.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// Clients have far fewer requests in flight; unanswered ones (acks=0) must not pile up.
const IN_FLIGHT_MAX: usize = 4_096;
const LENGTH_BYTES: usize = 4;
/// Length and correlation id.
const ANSWER_HEAD: usize = 8;
/// Length, api key, api version, correlation id.
const REQUEST_HEAD: usize = 12;

/// Requests that wait for their answers. Kafka answers a connection's requests in order, so a queue is enough.
pub(super) type InFlight = Mutex<VecDeque<Asked>>;

/// Where a stream stands in its frames. Heads have `HEAD` bytes, the length included.
#[derive(Debug)]
struct Frames<const HEAD: usize> {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    got: usize,
    /// Bytes of the body that have not come.
    left: usize,
}

/// What the taken bytes complete.
#[derive(Debug, PartialEq, Eq)]
enum Completed {
    Nothing,
    Head,
    Frame,
    /// A frame with nothing behind its head.
    HeadAndFrame,
    /// No frame is so short or so long.
    NotAFrame,
}

impl<const HEAD: usize> Frames<HEAD> {
    fn new() -> Self {
        Self { head: [0; HEAD], got: 0, left: 0 }
    }

    fn at_start(&self) -> bool {
        self.got == 0
    }

    /// Takes bytes up to the end of the head or of the frame; how many, and what that completes.
    fn take(&mut self, bytes: &[u8]) -> (usize, Completed) {
        if self.got < HEAD {
            let taken = bytes.len().min(HEAD - self.got);
            self.head[self.got..self.got + taken].copy_from_slice(&bytes[..taken]);
            self.got += taken;
            return (taken, if self.got < HEAD { Completed::Nothing } else { self.read_length() });
        }
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        if self.left > 0 {
            return (taken, Completed::Nothing);
        }
        self.got = 0;
        (taken, Completed::Frame)
    }

    fn read_length(&mut self) -> Completed {
        let mut length = [0; LENGTH_BYTES];
        length.copy_from_slice(&self.head[..LENGTH_BYTES]);
        let behind = HEAD - LENGTH_BYTES;
        match usize::try_from(i32::from_be_bytes(length)) {
            Ok(length) if length == behind => {
                self.got = 0;
                Completed::HeadAndFrame
            }
            Ok(length) if (behind..=FRAME_BYTES_MAX).contains(&length) => {
                self.left = length - behind;
                Completed::Head
            }
            _ => Completed::NotAFrame,
        }
    }
}

/// The client's side of a connection.
#[derive(Debug)]
pub(super) struct Requests {
    frames: Frames<REQUEST_HEAD>,
    lost: bool,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self { frames: Frames::new(), lost: false }
    }

    /// Notes what `bytes` ask, before they are forwarded: the broker cannot answer earlier than that.
    pub(super) fn follow(&mut self, mut bytes: &[u8], in_flight: &InFlight) {
        while !self.lost && !bytes.is_empty() {
            let (taken, completed) = self.frames.take(bytes);
            bytes = &bytes[taken..];
            match completed {
                Completed::Head | Completed::HeadAndFrame => {
                    if let Some(asked) = frame::asked(&self.frames.head[LENGTH_BYTES..]) {
                        let mut queue = lock(in_flight);
                        if queue.len() == IN_FLIGHT_MAX {
                            queue.pop_front();
                        }
                        queue.push_back(asked);
                    }
                }
                Completed::NotAFrame => self.lost = true,
                Completed::Nothing | Completed::Frame => {}
            }
        }
    }
}

/// The broker's side of a connection.
#[derive(Debug)]
pub(super) struct Answers {
    frames: Frames<ANSWER_HEAD>,
    /// The present frame, while it is kept back for the hook.
    kept: Option<Vec<u8>>,
    /// What the present frame answers.
    asked: Option<Asked>,
    lost: bool,
}

impl Answers {
    pub(super) fn new() -> Self {
        Self { frames: Frames::new(), kept: None, asked: None, lost: false }
    }

    /// What of `bytes`, and of those kept back before, goes on to the client now.
    pub(super) fn follow(&mut self, mut bytes: &[u8], in_flight: &InFlight, hooks: &Hooks) -> Vec<u8> {
        let mut passing = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            if self.lost {
                passing.extend_from_slice(bytes);
                break;
            }
            if self.frames.at_start() && self.kept.is_none() && hooks.is_set() {
                self.kept = Some(Vec::new());
            }
            let (taken, completed) = self.frames.take(bytes);
            self.kept.as_mut().unwrap_or(&mut passing).extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            match completed {
                Completed::Nothing => {}
                Completed::Head => self.match_with(in_flight),
                Completed::HeadAndFrame => {
                    self.match_with(in_flight);
                    self.let_go(&mut passing, hooks);
                }
                Completed::Frame => self.let_go(&mut passing, hooks),
                Completed::NotAFrame => {
                    self.lost = true;
                    passing.append(&mut self.kept.take().unwrap_or_default());
                }
            }
        }
        passing
    }

    /// What is still kept back when the broker's side ends in the middle of a frame.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.kept.take().unwrap_or_default()
    }

    fn match_with(&mut self, in_flight: &InFlight) {
        let correlation = frame::correlation(&self.frames.head[LENGTH_BYTES..]);
        let mut queue = lock(in_flight);
        // Requests before it were never answered (acks=0). An answer to nothing is not shown to the hook.
        let at = queue.iter().position(|asked| Some(asked.correlation) == correlation);
        self.asked = at.and_then(|at| queue.drain(..=at).next_back());
    }

    fn let_go(&mut self, passing: &mut Vec<u8>, hooks: &Hooks) {
        if let Some(mut frame) = self.kept.take() {
            if let Some(asked) = &self.asked {
                hooks.show(asked, &mut frame[LENGTH_BYTES..]);
            }
            passing.append(&mut frame);
        }
        self.asked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut frame = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        frame
    }

    /// Correlation id 7.
    fn request() -> Vec<u8> {
        framed(&[0, 1, 0, 12, 0, 0, 0, 7, 1, 2, 3])
    }

    #[test]
    fn a_hook_sees_whole_frames_however_they_are_cut() {
        for size in [1, 3, 8, 100] {
            let (in_flight, hooks) = (InFlight::default(), Hooks::default());
            hooks.set(|asked, body| {
                assert_eq!((asked.api_key, body.len()), (1, 6));
                body[5] ^= 1;
            });
            let mut requests = Requests::new();
            for chunk in request().chunks(size) {
                requests.follow(chunk, &in_flight);
            }
            let mut answers = Answers::new();
            // A second answer, to nothing that was asked, is not the hook's.
            let both = [framed(&[0, 0, 0, 7, 5, 6]), framed(&[0, 0, 0, 9])].concat();
            let passed: Vec<u8> =
                both.chunks(size).flat_map(|chunk| answers.follow(chunk, &in_flight, &hooks)).collect();
            assert_eq!(passed, [framed(&[0, 0, 0, 7, 5, 7]), framed(&[0, 0, 0, 9])].concat());
        }
    }

    #[test]
    fn without_a_hook_bytes_pass_at_once_and_what_is_no_frame_passes_always() {
        let (in_flight, hooks) = (InFlight::default(), Hooks::default());
        let mut answers = Answers::new();
        assert_eq!(answers.follow(&[0, 0], &in_flight, &hooks), [0, 0]);
        assert_eq!(answers.follow(&[0, 9, 0], &in_flight, &hooks), [0, 9, 0]);
        let mut answers = Answers::new();
        hooks.set(|_, _| panic!("no frame came"));
        assert!(answers.follow(&[0xff; 7], &in_flight, &hooks).is_empty());
        assert_eq!(answers.follow(&[0xff; 7], &in_flight, &hooks), [0xff; 14]);
        assert_eq!(answers.follow(&[1, 2], &in_flight, &hooks), [1, 2]);
        let mut cut = Answers::new();
        assert!(cut.follow(&[0, 0, 0, 9, 1], &in_flight, &hooks).is_empty());
        assert_eq!(cut.rest(), [0, 0, 0, 9, 1]);
    }
}

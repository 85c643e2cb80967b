//! The audit trail in pages, one JSON object for each event. Whoever reads verifies: each page says where the trail ends.

use lockstep_proto::admin::{AuditAnswer, AuditRequest};

use super::failure::json;
use super::{Admin, Caller, Failure};
use crate::access::Act;
use crate::agreement::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};

impl Admin {
    /// # Errors
    /// [`Failure`].
    pub async fn audit(&self, caller: &Caller, asked: AuditRequest) -> Result<AuditAnswer, Failure> {
        self.allow(caller, "audit", Act::SeeSystem).await?;
        let page = self.agreement.audit(asked.from_seq.max(1)).await?;
        let (mut events, mut bytes, mut last) = (Vec::new(), 0, None);
        for event in page.events.iter().take(PAGE_EVENTS_MAX) {
            let text = json(event)?;
            bytes += text.len();
            // One event at least, or nobody would get past it.
            if bytes > PAGE_BYTES_MAX && !events.is_empty() {
                break;
            }
            last = Some(event.seq);
            events.push(text);
        }
        let next_seq = last.filter(|last| *last < page.head.seq).map_or(0, |last| last + 1);
        Ok(AuditAnswer { events, next_seq, head: page.head.hash.to_string(), head_seq: page.head.seq })
    }
}

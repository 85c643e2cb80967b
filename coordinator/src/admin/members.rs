//! Who the coordinators are: shown as the asked member has it, so that it can be asked while there is no leader; changed
//! by the leader. And a member's own snapshot, which a backup is made from.

use lockstep_core::spec::names::{address, name};
use lockstep_core::state::Member as Known;
use lockstep_proto::admin::change_members_request::Change;
use lockstep_proto::admin::{
    ChangeMembersAnswer, ChangeMembersRequest, Member, MembersAnswer, SnapshotAnswer,
};

use super::{Admin, Caller, Failure};
use crate::access::Act;
use crate::agreement::{NotDone, Reseat, Seat, SeatKind};

const CALL: &str = "change_members";

impl Admin {
    /// # Errors
    /// [`Failure::Denied`].
    pub async fn members(&self, caller: &Caller) -> Result<MembersAnswer, Failure> {
        self.allow(caller, "members", Act::SeeSystem).await?;
        let (position, state) = (self.agreement.position(), self.agreement.state());
        Ok(MembersAnswer {
            cluster_id: state.cluster_id().unwrap_or_default().to_owned(),
            incarnation: state.incarnation(),
            leader: position.leader.unwrap_or(0),
            term: position.term,
            members: told(&position.seats),
            level: state.level(),
        })
    }

    /// # Errors
    /// [`Failure`]; one change at a time.
    pub async fn change_members(
        &self,
        caller: &Caller,
        asked: ChangeMembersRequest,
    ) -> Result<ChangeMembersAnswer, Failure> {
        self.allow(caller, CALL, Act::ChangeSystem).await?;
        let (subject, change) = match asked.change {
            None => {
                return Err(Failure::Wrong("neither a member to add nor one to remove is named".to_owned()));
            }
            Some(Change::Remove(who)) => (who.clone(), Reseat::Leave(who)),
            Some(Change::Add(member)) => (member.name.clone(), Reseat::Join(checked(member)?)),
        };
        match self.agreement.reseat(caller.actor(), asked.reason.clone(), change).await {
            Ok(seats) => Ok(ChangeMembersAnswer { members: told(&seats) }),
            Err(NotDone::Refused(why)) => {
                self.tell_refused(caller, CALL, &subject, asked.reason, &why).await;
                Err(Failure::Rule(why))
            }
            Err(not_done) => Err(not_done.into()),
        }
    }

    /// Of the member that is asked, whoever leads.
    ///
    /// # Errors
    /// [`Failure`]: the disk's fault, or the member has stopped.
    pub async fn snapshot(&self, caller: &Caller) -> Result<SnapshotAnswer, Failure> {
        self.allow(caller, "snapshot", Act::ChangeSystem).await?;
        let (index, path) = self.agreement.snapshot().await?;
        Ok(SnapshotAnswer { index, path: path.display().to_string() })
    }
}

fn checked(member: Member) -> Result<Known, Failure> {
    let wrong = |what: &str, given: &str, why: String| Failure::Wrong(format!("{what} {given:?}: {why}"));
    name(&member.name).map_err(|why| wrong("a coordinator's name", &member.name, why))?;
    name(&member.site).map_err(|why| wrong("a site", &member.site, why))?;
    address(&member.address)
        .map_err(|why| wrong("an address", &member.address, format!("{why}: write host:port")))?;
    // Which id it gets is the leader's to say.
    Ok(Known { id: 0, name: member.name, site: member.site, address: member.address })
}

fn told(seats: &[Seat]) -> Vec<Member> {
    let member = |seat: &Seat| Member {
        id: seat.member.id,
        name: seat.member.name.clone(),
        site: seat.member.site.clone(),
        address: seat.member.address.clone(),
        is_learner: seat.kind == SeatKind::Learner,
    };
    seats.iter().map(member).collect()
}

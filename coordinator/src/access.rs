//! What an operator may do: roles viewer, operator and admin, each for links by pattern. Nobody may do anything by default.
//! Each role includes the ones before it. Coordinators pass calls on and have no rights of their own; agents have their
//! session and nothing else. A refusal names who, what and which role is missing.

use lockstep_core::spec::coordinator::{Grant, Reach, Role};
use thiserror::Error;

use crate::holder::Holder;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// Read what concerns one link.
    See {
        link: &'a str,
    },
    /// Read what concerns the system: members, the spec, the audit log.
    SeeSystem,
    ActOn {
        link: &'a str,
    },
    /// Change the spec, the members, the level.
    ChangeSystem,
}

impl Act<'_> {
    fn needs(self) -> Role {
        match self {
            Self::See { .. } | Self::SeeSystem => Role::Viewer,
            Self::ActOn { .. } => Role::Operator,
            Self::ChangeSystem => Role::Admin,
        }
    }

    /// `None`: it concerns the system.
    pub(crate) fn link(&self) -> Option<&str> {
        match self {
            Self::See { link } | Self::ActOn { link } => Some(link),
            Self::SeeSystem | Self::ChangeSystem => None,
        }
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    #[error("{0} is no operator: only certificates lockstep://operator/NAME may ask this")]
    NoOperator(String),
    #[error("operator {operator:?} lacks the role {role} {scope}: see access in coordinator.yaml")]
    Lacks { operator: String, role: &'static str, scope: String },
}

/// All grants; an operator may have several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    grants: Vec<Grant>,
}

impl Access {
    #[must_use]
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { grants }
    }

    /// # Errors
    /// [`Denied`]: no grant of this holder covers it.
    pub fn may(&self, holder: &Holder, act: Act<'_>) -> Result<(), Denied> {
        let Holder::Operator { name } = holder else { return Err(Denied::NoOperator(holder.to_string())) };
        let covers = |grant: &&Grant| match (&grant.links, act.link()) {
            (Reach::All, _) => true,
            (Reach::Links(patterns), Some(link)) => patterns.matches(link),
            (Reach::Links(_), None) => false,
        };
        let mut grants = self.grants.iter().filter(|grant| grant.operator == *name).filter(covers);
        if grants.any(|grant| grant.role >= act.needs()) {
            return Ok(());
        }
        let scope = act.link().map_or_else(|| "on all links".to_owned(), |link| format!("on link {link:?}"));
        Err(Denied::Lacks { operator: name.clone(), role: act.needs().word(), scope })
    }
}

#[cfg(test)]
mod tests {
    use lockstep_core::spec::select::Patterns;

    use super::*;

    fn operator(name: &str) -> Holder {
        Holder::Operator { name: name.to_owned() }
    }

    fn access() -> Access {
        let grant = |operator: &str, role, links| Grant { operator: operator.to_owned(), role, links };
        let payments = || Reach::Links(Patterns::new(["payments.*"]).unwrap());
        Access::new(vec![
            grant("ada", Role::Admin, Reach::All),
            grant("bob", Role::Operator, payments()),
            grant("bob", Role::Viewer, Reach::All),
            grant("eve", Role::Admin, payments()),
        ])
    }

    #[test]
    fn roles_include_the_ones_before_and_end_at_their_links() {
        let access = access();
        let may = |name: &str, act| access.may(&operator(name), act).is_ok();
        let (ours, other) = ("payments-eu", "claims");
        assert!(may("ada", Act::ChangeSystem) && may("ada", Act::ActOn { link: other }));
        assert!(may("bob", Act::ActOn { link: ours }) && !may("bob", Act::ActOn { link: other }));
        assert!(may("bob", Act::See { link: other }) && may("bob", Act::SeeSystem));
        assert!(!may("bob", Act::ChangeSystem));
        assert!(may("eve", Act::ActOn { link: ours }), "an admin of some links acts on them");
        assert!(!may("eve", Act::ChangeSystem), "and on nothing that concerns all");
        assert!(!may("zoe", Act::See { link: ours }), "nobody by default");
    }

    #[test]
    fn an_agent_and_a_coordinator_are_no_operators() {
        let agent = Holder::Agent { site: "paris".to_owned(), name: "ada".to_owned() };
        let coordinator = Holder::Coordinator { name: "ada".to_owned() };
        for holder in [agent, coordinator] {
            let denied = access().may(&holder, Act::SeeSystem).unwrap_err();
            assert_eq!(denied, Denied::NoOperator(holder.to_string()));
        }
    }

    #[test]
    fn a_refusal_says_who_what_and_where_it_is_granted() {
        let denied = access().may(&operator("bob"), Act::ActOn { link: "claims" }).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "operator \"bob\" lacks the role operator on link \"claims\": see access in coordinator.yaml"
        );
    }
}

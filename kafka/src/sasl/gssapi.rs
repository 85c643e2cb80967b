//! GSSAPI (Kerberos V5; RFC 4752) through the system's library: ticket, context, no security layer (TLS is below us).
//! The keytab comes from the environment (`KRB5_CLIENT_KTNAME`, MIT Kerberos), as does everything else (`KRB5_CONFIG`).
//! Promises: calls that may wait for a KDC never run on the runtime's thread. Error texts are taken on the thread that
//! failed: the library keeps them there.

use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, OidSet};
use tokio::task::spawn_blocking;

use super::{LoginFault, Next};
use crate::secret::Secret;

/// The broker's offer: which layers, and the longest message (RFC 4752, 3.3).
const OFFER_BYTES: usize = 4;
const NO_LAYER: u8 = 1;
/// `krb5.h`: KRB5KRB_AP_ERR_SKEW, as an unsigned number.
const SKEW: u32 = 2_529_638_949;

/// Our side of the dialogue.
pub(super) struct Client {
    context: ClientCtx,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Tokens go to and fro.
    Context,
    /// The context stands; the broker's offer is due.
    Offer,
    /// Our choice is sent; the broker's consent is due.
    Choice,
}

/// A ticket for `service@host`: the first token made with it, and who we are, without the realm, as Kafka's default
/// rule has it.
pub(super) async fn begin(service: String) -> Result<(Secret, Client, String), LoginFault> {
    run(move || {
        let name = Name::new(service.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE)).map_err(fault)?;
        let mechanisms = OidSet::singleton(GSS_MECH_KRB5).map_err(fault)?;
        let ours = Cred::acquire(None, None, CredUsage::Initiate, Some(&mechanisms)).map_err(fault)?;
        let mutual = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_SEQUENCE_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
        let mut context = ClientCtx::new(Some(ours.clone()), name, mutual, Some(GSS_MECH_KRB5));
        let first = context.step(None, None).map_err(fault)?;
        // Only now: asked for its name before, a credential without a ticket hides why it has none.
        let who = ours.name().and_then(|name| name.display_name()).map_err(fault)?;
        let who = String::from_utf8_lossy(&who).split('@').next().unwrap_or_default().to_owned();
        let first = first.map(|token| token.to_vec()).unwrap_or_default();
        Ok((Secret::new(first), Client { context, stage: Stage::Context }, who))
    })
    .await
}

pub(super) async fn answer(
    client: Option<Client>,
    message: Vec<u8>,
) -> Result<(Option<Client>, Next), LoginFault> {
    let Some(mut client) = client else { return Err(strange("it speaks after the end")) };
    run(move || {
        let next = client.take(&message)?;
        Ok((Some(client), next))
    })
    .await
}

impl Client {
    fn take(&mut self, message: &[u8]) -> Result<Next, LoginFault> {
        match self.stage {
            Stage::Context => {
                let token = self.context.step(Some(message), None).map_err(fault)?;
                if token.is_none() {
                    self.stage = Stage::Offer;
                }
                // An empty message asks for the offer.
                Ok(Next::Send(Secret::new(token.map(|token| token.to_vec()).unwrap_or_default())))
            }
            Stage::Offer => {
                let offer = self.context.unwrap(message).map_err(fault)?;
                if offer.len() != OFFER_BYTES || offer[0] & NO_LAYER == 0 {
                    return Err(strange("it insists on a security layer: use TLS below instead"));
                }
                let choice = self.context.wrap(false, &[NO_LAYER, 0, 0, 0]).map_err(fault)?;
                self.stage = Stage::Choice;
                Ok(Next::Send(Secret::new(choice.to_vec())))
            }
            Stage::Choice => Ok(Next::Finished),
        }
    }
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoginFault> + Send + 'static,
) -> Result<T, LoginFault> {
    spawn_blocking(work).await.unwrap_or_else(|_| Err(strange("the call was cut off")))
}

fn strange(why: &str) -> LoginFault {
    LoginFault::Kerberos { detail: why.to_owned() }
}

fn fault(error: Error) -> LoginFault {
    let detail = error.to_string();
    if error.minor == SKEW || detail.contains("Clock skew") {
        LoginFault::ClockSkew { detail }
    } else {
        LoginFault::Kerberos { detail }
    }
}

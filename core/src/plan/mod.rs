//! What has to change on the destination so that a link can run. Shown before it is applied.
//!
//! | file | decides |
//! |---|---|
//! | [`topics`] | create, adopt, grow or refuse a topic; what a standby topic carries (M20, M21) |
//! | [`owners`] | who has the say over each setting of a topic |
//! | [`names`] | whether a topic may be called so on the destination |
//! | [`permissions`] | which rights a link needs |
//! | [`configs`] | what becomes of a setting: followed, put back, or left alone as drift |

pub mod configs;
pub mod names;
pub mod owners;
pub mod permissions;
pub mod topics;

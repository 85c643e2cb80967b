//! Text on its way to the wire.

use kafka_protocol::protocol::StrBytes;

/// A copy of `text` in the library's string type.
pub(crate) fn wire_text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

//! What users write, checked: patterns and names. Every fault names the key, the value and the remedy.

pub mod fault;
pub mod pace;
pub mod rename;
pub mod security;
pub mod select;

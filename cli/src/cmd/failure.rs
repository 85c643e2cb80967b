//! What a verb says when it cannot go on: `error[L-120]: …`, and the page that tells what to do.

use std::fmt;

use lockstep_core::code::Code;

use crate::exit::Exit;

/// Words for whoever started the verb, and how it ends.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Option<Code>,
    words: String,
    exit: Exit,
}

impl Failure {
    pub(crate) fn coded(code: Code, words: impl Into<String>) -> Self {
        Self { code: Some(code), words: words.into(), exit: Exit::Error }
    }

    /// With the page, if there is one.
    pub(crate) fn with(code: Option<Code>, words: impl fmt::Display) -> Self {
        Self { code, words: words.to_string(), exit: Exit::Error }
    }

    /// With another end than 1.
    pub(crate) fn ending(exit: Exit, words: impl Into<String>) -> Self {
        Self { code: None, words: words.into(), exit }
    }

    /// Without the code and its page.
    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<String> for Failure {
    fn from(words: String) -> Self {
        Self { code: None, words, exit: Exit::Error }
    }
}

impl From<&str> for Failure {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => write!(f, "error: {}", self.words),
            Some(code) => write!(f, "error[{code}]: {}\n  page    {}", self.words, code.page()),
        }
    }
}

/// SASL_LIST_MECHS: asks how one may log in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SaslListMechs;

/// The answer to [`SaslListMechs`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SaslMechanisms {
    /// Names such as `PLAIN`.
    pub mechanisms: Vec<String>,
}

/// SASL_AUTH or SASL_STEP: a step of logging in. What it carries is a credential and is never kept (law L9).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SaslAuth {
    /// The mechanism.
    pub mechanism: String,
}

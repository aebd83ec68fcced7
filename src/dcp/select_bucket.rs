/// SELECT_BUCKET: which bucket the connection is to use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SelectBucket {
    /// Its name; may be empty.
    pub bucket: String,
}

use super::values;
use super::values::Messages;
use crate::report;
use crate::verdict::Judge;

/// The flags of every command that gives a verdict.
#[derive(clap::Args, Debug)]
pub(super) struct Judging {
    /// Stream messages that must each meet an orphaned response, such as prepare,commit; all eight types if not given
    #[arg(long, value_name = "LIST", env = "DCPROXY_MESSAGES")]
    pub(super) messages: Option<Messages>,

    /// Write a report: .json, .xml (JUnit) or .txt, - for text on stdout; repeatable
    #[arg(long, value_name = "FILE", env = "DCPROXY_REPORT", value_parser = values::report)]
    pub(super) report: Vec<report::Target>,

    /// Whose faults decide the verdict: producer, consumer or both
    #[arg(long, value_name = "END", env = "DCPROXY_JUDGE", default_value_t = Judge::Producer)]
    pub(super) judge: Judge,
}

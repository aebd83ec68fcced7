use serde::Deserialize;
use serde::Serialize;

use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::expectation;
use crate::dcp::Message;

expectation! {
    /// Messages with a seqno go on coming.
    Progress of Producer {
        /// Of which streams.
        #[serde(default)]
        on: Which,
        /// So many at the least.
        #[serde(default = "one")]
        messages: u64,
    }
}

/// Which streams are to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Those that the step did not fire at.
    #[default]
    Others,
    /// The one that it fired at, with the same opaque.
    Same,
    /// Any.
    Any,
}

const fn one() -> u64 {
    1
}

impl Progress {
    pub(super) fn demand(&self) -> String {
        let which = match self.on {
            Which::Others => "the other streams",
            Which::Same => "the stream",
            Which::Any => "the streams",
        };
        format!("{which} bring {} more message(s)", self.messages)
    }

    pub(super) const fn watch(&self) -> Watcher {
        Watcher { on: self.on, messages: self.messages, came: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    on: Which,
    messages: u64,
    came: u64,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        // Of a consumer, progress is that it is sent more.
        let Some(head) = moment.said().or_else(|| moment.told()) else { return };
        if !head.header.is_request() || head.message.as_ref().ok().and_then(Message::by_seqno).is_none() {
            return;
        }
        let counts = match self.on {
            Which::Any => true,
            Which::Same => moment.is_of_stream(head),
            Which::Others => !moment.is_of_stream(head),
        };
        self.came += u64::from(counts);
    }

    fn outcome(&self, end: &End) -> Outcome {
        let came = format!("{} message(s) came", self.came);
        if self.came >= self.messages { Outcome::Yes(came) } else { end.unseen(&came) }
    }
}

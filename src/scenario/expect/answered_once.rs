use std::collections::BTreeMap;

use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::case::MOST_REQUESTS;
use super::expectation;
use super::name_of;
use crate::units;
use crate::wire::Opaque;
use crate::wire::Opcode;

expectation! {
    /// Each request that the step fired at, or that the tool sent, is answered once, no more and no less.
    AnsweredOnce of Producer {
        /// Only requests of this kind.
        #[serde(default, with = "units::text_option", skip_serializing_if = "Option::is_none")]
        message: Option<Opcode>,
    }
}

impl AnsweredOnce {
    pub(super) fn demand(&self) -> String {
        let what = self.message.map_or_else(|| "each request".to_owned(), |message| format!("each {message}"));
        format!("{} answers {what} exactly once", name_of(self.common().of))
    }

    pub(super) fn watch(&self) -> Watcher {
        Watcher { message: self.message, answers: BTreeMap::new(), seen: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    message: Option<Opcode>,
    /// How often each was asked, and answered.
    answers: BTreeMap<(Opcode, Opaque), Asked>,
    /// How many of the requests since the firing have been looked at.
    seen: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    asked: u64,
    answers: u64,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        for &(side, opcode, opaque) in moment.fired.requests.iter().skip(self.seen) {
            let counts = side == moment.entry.edge && self.message.is_none_or(|message| message == opcode);
            // A plain NOOP is a proof of life, which is asked for by other rules.
            if counts && opcode != Opcode::NOOP {
                self.answers.entry((opcode, opaque)).or_default().asked += 1;
            }
        }
        self.seen = moment.fired.requests.len();
        let Some(head) = moment.said().filter(|head| head.header.is_response()) else { return };
        if let Some(asked) = self.answers.get_mut(&(head.header.opcode, head.header.opaque)) {
            asked.answers += 1;
        }
    }

    fn outcome(&self, end: &End) -> Outcome {
        if let Some(((opcode, _), asked)) = self.answers.iter().find(|(_, asked)| asked.answers > asked.asked) {
            let of = if asked.asked > 1 { format!(" and asked {} times", asked.asked) } else { String::new() };
            let told = format!("{opcode} was answered {} times{of}", asked.answers);
            // It may have been asked again since no more requests are kept track of.
            let all_known = self.seen < MOST_REQUESTS;
            return if all_known { Outcome::No(told) } else { Outcome::Unknown(told) };
        }
        if let Some(((opcode, _), asked)) = self.answers.iter().find(|(_, asked)| asked.answers < asked.asked) {
            let of = if asked.asked > 1 { format!(" each of the {} times", asked.asked) } else { String::new() };
            return end.unseen(&format!("{opcode} was not answered{of}"));
        }
        match self.answers.len() {
            0 => Outcome::Unknown("there was no request".to_owned()),
            _ if !end.complete && !end.closed => {
                Outcome::Unknown(format!("it was watched for less than {} ms", end.within.as_millis()))
            }
            requests => Outcome::Yes(format!("{requests} request(s), each answered once")),
        }
    }
}

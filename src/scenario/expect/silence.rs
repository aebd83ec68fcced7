use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::expectation;
use super::name_of;
use crate::dcp;
use crate::filter::Filter;
use crate::units;
use crate::units::Span;

expectation! {
    /// The end says nothing of a kind.
    Silence of Producer {
        /// The kind; messages of the stream that the step fired at where it is not said.
        #[serde(default, with = "units::text_option", skip_serializing_if = "Option::is_none")]
        filter: Option<Filter>,
        /// From so long after the step on: what was on its way may still come.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Span>,
    }
}

impl Silence {
    pub(super) fn demand(&self) -> String {
        let who = name_of(self.common().of);
        match &self.filter {
            Some(filter) => format!("{who} says nothing that is {filter}"),
            None => format!("{who} says nothing more of the stream"),
        }
    }

    pub(super) fn watch(&self) -> Watcher {
        Watcher { filter: self.filter.clone(), from: self.from.unwrap_or_default(), heard: None }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    filter: Option<Filter>,
    from: Span,
    heard: Option<String>,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        let Some(head) = moment.said() else { return };
        let heard = match &self.filter {
            Some(filter) => moment.matches(filter, head),
            None => head.header.is_request() && dcp::is_stream_message(head.header.opcode) && moment.is_of_stream(head),
        };
        if heard && moment.entry.at.since(moment.fired.at) >= self.from.0 {
            self.heard.get_or_insert_with(|| format!("{} after {} ms", head.header.opcode, moment.ms()));
        }
    }

    fn outcome(&self, end: &End) -> Outcome {
        match &self.heard {
            Some(heard) => Outcome::No(heard.clone()),
            None if end.complete || end.closed => Outcome::Yes("nothing".to_owned()),
            None => Outcome::Unknown(format!("it was watched for less than {} ms", end.within.as_millis())),
        }
    }
}

use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::expectation;
use crate::units;
use crate::wire::Opcode;
use crate::wire::Status;

expectation! {
    /// The end answers the request that the step fired at, or one that the tool sent.
    Response of Producer {
        /// To this request; the first that is answered where it is not said.
        #[serde(default, with = "units::text_option", skip_serializing_if = "Option::is_none")]
        message: Option<Opcode>,
        /// With one of these; any where there is none.
        #[serde(default, with = "units::texts", skip_serializing_if = "Vec::is_empty")]
        status: Vec<Status>,
    }
}

impl Response {
    pub(super) fn demand(&self) -> String {
        let to = self.message.map_or_else(|| "the request".to_owned(), |message| message.to_string());
        match &self.status[..] {
            [] => format!("an answer to {to}"),
            status => {
                let status = status.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
                format!("{to} answered with {status}")
            }
        }
    }

    pub(super) fn watch(&self) -> Watcher {
        Watcher { message: self.message, status: self.status.clone(), seen: None, other: None }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    message: Option<Opcode>,
    status: Vec<Status>,
    seen: Option<String>,
    other: Option<String>,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        let Some(head) = moment.said() else { return };
        let (opcode, opaque) = (head.header.opcode, head.header.opaque);
        let Some(status) = head.header.status() else { return };
        let awaited = moment.fired.requests.contains(&(moment.entry.edge, opcode, opaque));
        if !awaited || self.message.is_some_and(|message| message != opcode) {
            return;
        }
        let said = format!("{opcode} answered with {status} after {} ms", moment.ms());
        if self.status.is_empty() || self.status.contains(&status) {
            self.seen.get_or_insert(said);
        } else {
            self.other.get_or_insert(said);
        }
    }

    fn outcome(&self, end: &End) -> Outcome {
        match (&self.seen, &self.other) {
            (Some(seen), _) => Outcome::Yes(seen.clone()),
            (None, Some(other)) => Outcome::No(other.clone()),
            (None, None) => end.unseen("no answer"),
        }
    }
}

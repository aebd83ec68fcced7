use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::Timestamp;
use crate::dcp::Feature;
use crate::dcp::Hello;
use crate::node::Credentials;
use crate::node::NoEntry;
use crate::node::entry::Entry;
use crate::node::entry::Step;
use crate::wire::Deframer;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::MAX_FRAME_LEN;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Piece;
use crate::wire::Status;

/// How to get in: the login and the bucket.
#[derive(Clone)]
pub struct Access {
    /// Who logs in; `None` does not.
    pub login: Option<Credentials>,
    /// The bucket to select.
    pub bucket: String,
}

/// The login does not show (law L9).
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// What is asked on a connection of key-value requests: batches, each once all of the one before is answered.
pub trait Script {
    /// The requests that come next, given the answers to those before, in their order; none ends the errand. Opaques are
    /// not the script's. `collections`: whether keys begin with a collection's id.
    fn next(&mut self, answers: &[Answer], collections: bool) -> Vec<FrameBuilder>;
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked.
    pub opcode: Opcode,
    /// What came of it.
    pub status: Status,
    /// The value of the answer.
    pub value: Vec<u8>,
}

/// Why an errand came to nothing: one line for the user.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// The other end speaks something else.
    #[error("expected memcached's protocol, found {0}")]
    Foreign(String),
    /// It closed.
    #[error("the producer closed the connection before it answered {0}")]
    Closed(Opcode),
    /// It said nothing.
    #[error("the producer has not answered {0} for {1:?}")]
    Mute(Opcode, Duration),
    /// It does not let the connection in.
    #[error(transparent)]
    NoEntry(#[from] NoEntry),
}

/// A connection of key-value requests: it logs in, selects the bucket and does what its script says.
///
/// Sans-IO, as bytes and times, with the contract of [`crate::node::Connection`].
#[derive(Debug)]
pub struct Errand<S> {
    entry: Entry,
    script: S,
    deframer: Deframer,
    ready: Vec<u8>,
    /// What is awaited, and the place of its answer.
    awaited: BTreeMap<Opaque, (Opcode, usize)>,
    answers: Vec<Option<Answer>>,
    next_opaque: u32,
    since: Timestamp,
    over: Option<Result<(), Failure>>,
}

/// How long the producer may take for the answers to a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// Features of HELLO that mean nothing to DCP.
const MUTATION_SEQNO: u16 = 0x04;

impl<S: Script> Errand<S> {
    /// An errand on a connection that was just made. `nonce` is as in [`crate::node::consumer::ClientConfig::nonce`].
    pub fn new(access: Access, nonce: String, script: S, now: Timestamp) -> Self {
        let features = vec![
            MUTATION_SEQNO,
            Feature::XERROR,
            Feature::SELECT_BUCKET,
            Feature::ALT_REQUESTS,
            Feature::SYNC_REPLICATION,
            Feature::COLLECTIONS,
        ];
        let hello = Hello { agent: "dcproxy-probe".to_owned(), features };
        let (entry, first) = Entry::begin(&hello, access.login, nonce, access.bucket);
        let mut errand = Self {
            entry,
            script,
            deframer: Deframer::new(MAX_FRAME_LEN),
            ready: Vec::new(),
            awaited: BTreeMap::new(),
            answers: Vec::new(),
            next_opaque: 0,
            since: now,
            over: None,
        };
        errand.ask(&[first]);
        errand
    }

    /// Takes bytes that came from the producer.
    pub fn feed(&mut self, mut bytes: &[u8], now: Timestamp) {
        self.since = now;
        let first = bytes;
        let mut deframer = std::mem::replace(&mut self.deframer, Deframer::new(MAX_FRAME_LEN));
        while self.over.is_none()
            && let Some(piece) = deframer.next(&mut bytes)
        {
            match piece {
                Piece::Frame(frame) if frame.header().is_response() => self.response(&frame),
                Piece::Frame(_) | Piece::Value { .. } => {}
                Piece::Raw { error, .. } => {
                    let start = String::from_utf8_lossy(first.get(..16.min(first.len())).unwrap_or_default());
                    let seen: String = start.chars().take_while(|c| c.is_ascii_graphic() || *c == ' ').collect();
                    let found = if seen.len() > 3 { format!("'{seen}'") } else { error.to_string() };
                    self.over = Some(Err(Failure::Foreign(found)));
                }
            }
        }
        self.deframer = deframer;
    }

    /// Takes note that the producer closed.
    pub fn closed(&mut self) {
        let first = self.first_awaited();
        self.over.get_or_insert(Err(Failure::Closed(first)));
    }

    /// Does what is due.
    pub fn wakeup(&mut self, now: Timestamp) {
        if now >= self.since + PATIENCE {
            let first = self.first_awaited();
            self.over.get_or_insert(Err(Failure::Mute(first, PATIENCE)));
        }
    }

    /// When [`Self::wakeup`] is to be called.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.over.is_none().then(|| self.since + PATIENCE)
    }

    /// Appends all that is ready to go out.
    pub fn pull(&mut self, to: &mut Vec<u8>) {
        to.append(&mut self.ready);
    }

    /// Whether it is over, and the connection is to be closed.
    pub fn is_over(&self) -> bool {
        self.over.is_some() && self.ready.is_empty()
    }

    /// The script as it is now, and what came of the errand. One that was stopped before its end was not answered.
    pub fn into_outcome(self) -> (S, Result<(), Failure>) {
        let first = self.first_awaited();
        (self.script, self.over.unwrap_or(Err(Failure::Closed(first))))
    }

    fn first_awaited(&self) -> Opcode {
        self.awaited.values().next().map_or(Opcode::HELLO, |&(opcode, _)| opcode)
    }

    fn ask(&mut self, requests: &[FrameBuilder]) {
        self.answers = vec![None; requests.len()];
        for (at, request) in requests.iter().enumerate() {
            let opaque = Opaque(self.next_opaque.to_be_bytes());
            self.next_opaque = self.next_opaque.wrapping_add(1);
            let bytes = request.clone().opaque(opaque).build();
            let opcode = bytes.get(1).map_or(Opcode::NOOP, |&byte| Opcode(byte));
            self.ready.extend_from_slice(&bytes);
            self.awaited.insert(opaque, (opcode, at));
        }
    }

    fn response(&mut self, frame: &Frame<'_>) {
        let header = frame.header();
        let Some(&(opcode, at)) = self.awaited.get(&header.opaque) else { return };
        if opcode != header.opcode {
            return;
        }
        self.awaited.remove(&header.opaque);
        let status = header.status().unwrap_or(Status::SUCCESS);
        let answer = Answer { opcode, status, value: frame.value().unwrap_or_default().to_vec() };
        match opcode {
            Opcode::HELLO | Opcode::SASL_LIST_MECHS | Opcode::SASL_AUTH | Opcode::SASL_STEP | Opcode::SELECT_BUCKET => {
                match self.entry.answer(frame) {
                    Step::Ask(request) => self.ask(&[request]),
                    Step::In => self.go_on(),
                    Step::Failed(why) => self.over = Some(Err(why.into())),
                }
            }
            _ => {
                if let Some(place) = self.answers.get_mut(at) {
                    *place = Some(answer);
                }
                if self.awaited.is_empty() {
                    self.go_on();
                }
            }
        }
    }

    fn go_on(&mut self) {
        let answers: Vec<Answer> = std::mem::take(&mut self.answers).into_iter().flatten().collect();
        let requests = self.script.next(&answers, self.entry.features().contains(&Feature::COLLECTIONS));
        if requests.is_empty() {
            self.over = Some(Ok(()));
        } else {
            self.ask(&requests);
        }
    }
}

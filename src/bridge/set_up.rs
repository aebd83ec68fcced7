//! From the dial to the two DCP_OPENs.

use std::collections::BTreeMap;

use super::Asked;
use super::CONSUMER;
use super::Config;
use super::PATIENCE;
use super::PRODUCER;
use super::config::SHARED;
use crate::Timestamp;
use crate::dcp::Feature;
use crate::dcp::GetAllVbSeqnos;
use crate::dcp::HelloResponse;
use crate::dcp::SetVbucket;
use crate::dcp::SetVbucketState;
use crate::dcp::VbSeqnos;
use crate::journal::Side;
use crate::node::entry::Entry;
use crate::node::entry::Step;
use crate::wire::Frame;
use crate::wire::Opaque;
use crate::wire::Status;

/// The set-up of both connections.
///
/// ```text
/// Entering --both are in their buckets--> Agreeing --the same was agreed to at both--> Preparing
///   --seqnos are known, vbuckets are replicas--> Opening(producer) --> Opening(consumer) --> done
/// ```
#[derive(Debug)]
pub(super) struct SetUp {
    phase: Phase,
    entries: [Entry; 2],
    inside: [bool; 2],
    /// Those of [`SHARED`] that both have agreed to.
    shared: Vec<u16>,
    /// The highest seqnos at the producer node, where they are asked for.
    targets: Option<BTreeMap<u16, u64>>,
    /// When something was answered last.
    since: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// HELLO, login, bucket.
    Entering,
    /// One end has agreed to more than the other: it is greeted again.
    Agreeing,
    /// What is to be asked or done before DCP_OPEN.
    Preparing,
    /// DCP_OPEN; a plain one, without what the end's release does not know.
    Opening { at: Side, plain: bool },
}

const fn index(side: Side) -> usize {
    match side {
        Side::Dialler => 0,
        Side::Upstream => 1,
    }
}

impl SetUp {
    pub(super) fn begin(config: &Config, asked: &mut Asked, now: Timestamp) -> Self {
        let mut enter = |side: Side| {
            let hello = config.hello(side, SHARED);
            let nonce = format!("{}{}", config.nonce, index(side));
            let (entry, first) = Entry::begin(&hello, config.end(side).login.clone(), nonce, config.bucket.clone());
            asked.ask(side, first);
            entry
        };
        Self {
            phase: Phase::Entering,
            entries: [enter(CONSUMER), enter(PRODUCER)],
            inside: [false; 2],
            shared: Vec::new(),
            targets: None,
            since: now,
        }
    }

    /// Takes an answer; once both are open, returns the seqnos that were asked for.
    ///
    /// # Errors
    /// One line: why it comes to nothing.
    pub(super) fn answered(
        &mut self,
        from: Side,
        frame: &Frame<'_>,
        config: &Config,
        asked: &mut Asked,
        now: Timestamp,
    ) -> Result<Option<Option<BTreeMap<u16, u64>>>, String> {
        self.since = now;
        let at = &config.end(from).at;
        let (opcode, status) = (frame.header().opcode, frame.header().status().unwrap_or(Status::SUCCESS));
        match self.phase {
            Phase::Entering => match self.entries[index(from)].answer(frame) {
                Step::Ask(request) => {
                    asked.ask(from, request);
                }
                Step::In => self.inside[index(from)] = true,
                Step::Failed(why) => {
                    // A login says where itself.
                    let why = why.to_string();
                    return Err(if why.contains(at.as_str()) { why } else { format!("{at}: {why}") });
                }
            },
            Phase::Agreeing => {
                let agreed = HelloResponse::parse(frame).map(|hello| hello.features).unwrap_or_default();
                if status != Status::SUCCESS || SHARED.iter().any(|it| agreed.contains(it) && !self.shared.contains(it))
                {
                    return Err(format!(
                        "expected {at} to agree to less than at first, found {opcode} answered {status}"
                    ));
                }
            }
            Phase::Preparing => self.prepared(frame, config, status, at)?,
            Phase::Opening { at: side, plain } => match status {
                Status::SUCCESS if side == CONSUMER => return Ok(Some(self.targets.take())),
                Status::SUCCESS => {}
                Status::EINVAL if !plain => {
                    self.open(side, true, config, asked);
                    return Ok(None);
                }
                status => return Err(format!("expected DCP_OPEN to succeed at {at}, found {status}")),
            },
        }
        if asked.is_empty() {
            self.go_on(config, asked)?;
        }
        Ok(None)
    }

    /// Goes on to the next phase: all of the one before is answered.
    fn go_on(&mut self, config: &Config, asked: &mut Asked) -> Result<(), String> {
        if self.phase == Phase::Entering {
            if self.inside != [true; 2] {
                return Ok(());
            }
            let has = |side: Side, feature: &u16| self.entries[index(side)].features().contains(feature);
            self.shared = SHARED.into_iter().filter(|it| has(CONSUMER, it) && has(PRODUCER, it)).collect();
            self.phase = Phase::Agreeing;
            for side in [CONSUMER, PRODUCER] {
                if SHARED.iter().any(|it| has(side, it) && !self.shared.contains(it)) {
                    let hello = config.hello(side, self.shared.iter().copied());
                    asked.ask(side, hello.request(Opaque::default()));
                }
            }
            if !asked.is_empty() {
                return Ok(());
            }
        }
        if self.phase == Phase::Agreeing {
            self.phase = Phase::Preparing;
            if config.until_caught_up {
                asked.ask(
                    PRODUCER,
                    GetAllVbSeqnos { state: Some(ACTIVE), collection_id: None }.request(Opaque::default()),
                );
            }
            for &vbucket in config.vbuckets.iter().filter(|_| config.set_replica) {
                let set = SetVbucket { state: SetVbucketState::REPLICA };
                asked.ask(CONSUMER, set.request(vbucket, Opaque::default()));
            }
            if !asked.is_empty() {
                return Ok(());
            }
        }
        match self.phase {
            Phase::Preparing => self.open(PRODUCER, false, config, asked),
            Phase::Opening { at: PRODUCER, .. } => self.open(CONSUMER, false, config, asked),
            Phase::Entering | Phase::Agreeing | Phase::Opening { .. } => {}
        }
        Ok(())
    }

    fn prepared(&mut self, frame: &Frame<'_>, config: &Config, status: Status, at: &str) -> Result<(), String> {
        let opcode = frame.header().opcode;
        if status != Status::SUCCESS {
            return Err(format!("expected {opcode} to succeed at {at}, found {status}"));
        }
        if opcode != crate::wire::Opcode::GET_ALL_VB_SEQNOS {
            return Ok(());
        }
        let all = VbSeqnos::parse(frame).map_err(|error| format!("{at}: {error}"))?;
        let all: BTreeMap<u16, u64> = all.entries.iter().map(|entry| (entry.vbucket, entry.seqno)).collect();
        let of = |&vbucket: &u16| {
            let seqno = all.get(&vbucket).copied();
            seqno
                .map(|seqno| (vbucket, seqno))
                .ok_or_else(|| format!("expected vbucket {vbucket} to be active at {at}, found it is not"))
        };
        self.targets = Some(config.vbuckets.iter().map(of).collect::<Result<_, _>>()?);
        Ok(())
    }

    fn open(&mut self, at: Side, plain: bool, config: &Config, asked: &mut Asked) {
        self.phase = Phase::Opening { at, plain };
        let open = config.open(at, self.shared.contains(&Feature::XATTR), plain);
        asked.ask(at, open.request(Opaque::default()));
    }

    /// Why it is given up, where a node has not answered for too long.
    pub(super) fn late(&self, config: &Config, asked: &Asked, now: Timestamp) -> Option<String> {
        if now < self.due() {
            return None;
        }
        let mute = [CONSUMER, PRODUCER].into_iter().find_map(|side| Some((side, asked.first(side)?)));
        mute.map(|(side, opcode)| format!("{} has not answered {opcode} for {PATIENCE:?}", config.end(side).at))
    }

    pub(super) fn due(&self) -> Timestamp {
        self.since + PATIENCE
    }
}

/// GET_ALL_VB_SEQNOS asks for active vbuckets (dcp-protocol.md §2).
const ACTIVE: u32 = 1;

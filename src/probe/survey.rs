use serde_json::Value;

use super::errand::Answer;
use super::errand::Script;
use crate::dcp::GetAllVbSeqnos;
use crate::dcp::GetClusterConfig;
use crate::dcp::VbSeqno;
use crate::dcp::VbSeqnos;
use crate::dcp::Version;
use crate::wire::Frame;
use crate::wire::FrameBuilder;
use crate::wire::Opaque;
use crate::wire::Opcode;
use crate::wire::Status;

/// What the producer says of itself when it is asked.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    asked: bool,
    /// Its release, where it told.
    pub version: Option<String>,
    /// The highest seqno of each active vbucket.
    pub seqnos: Vec<VbSeqno>,
    /// How many vbuckets the bucket has over all nodes, by the cluster map; `None` where there is no map.
    pub vbuckets: Option<u16>,
    /// Whether a cluster manager looks after it: the map names the manager's port.
    pub managed: bool,
    /// What it answered in place of the seqnos.
    pub refused: Option<Status>,
}

/// The state of vbuckets that are asked for (dcp-protocol.md §2).
const ACTIVE: u32 = 1;

impl Script for Survey {
    fn next(&mut self, answers: &[Answer], _: bool) -> Vec<FrameBuilder> {
        if !std::mem::replace(&mut self.asked, true) {
            let nobody = Opaque::default();
            return vec![
                Version.request(nobody),
                GetClusterConfig::default().request(nobody),
                GetAllVbSeqnos { state: Some(ACTIVE), collection_id: None }.request(nobody),
            ];
        }
        for answer in answers {
            match (answer.opcode, answer.status) {
                (Opcode::VERSION, Status::SUCCESS) => {
                    self.version = Some(String::from_utf8_lossy(&answer.value).into_owned());
                }
                (Opcode::GET_CLUSTER_CONFIG, Status::SUCCESS) => self.take_map(&answer.value),
                (Opcode::GET_ALL_VB_SEQNOS, Status::SUCCESS) => self.seqnos = seqnos(&answer.value),
                (Opcode::GET_ALL_VB_SEQNOS, status) => self.refused = Some(status),
                _ => {}
            }
        }
        Vec::new()
    }
}

fn seqnos(value: &[u8]) -> Vec<VbSeqno> {
    let bytes = FrameBuilder::response(Opcode::GET_ALL_VB_SEQNOS, Status::SUCCESS).value(value).build();
    Frame::new(&bytes)
        .ok()
        .and_then(|frame| VbSeqnos::parse(&frame).ok())
        .map(|seqnos| seqnos.entries)
        .unwrap_or_default()
}

impl Survey {
    fn take_map(&mut self, map: &[u8]) {
        let Ok(map) = serde_json::from_slice::<Value>(map) else { return };
        let count = map.pointer("/vBucketServerMap/vBucketMap").and_then(Value::as_array).map(Vec::len);
        self.vbuckets = count.and_then(|count| u16::try_from(count).ok()).filter(|&count| count > 0);
        let nodes = map.get("nodesExt").and_then(Value::as_array).into_iter().flatten();
        let mut services = nodes.filter_map(|node| node.get("services")?.as_object());
        self.managed = services.any(|services| services.keys().any(|service| service.starts_with("mgmt")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_tells_the_vbuckets_and_whether_there_is_a_manager() {
        let told = |map: &str| {
            let mut survey = Survey::default();
            survey.take_map(map.as_bytes());
            (survey.vbuckets, survey.managed)
        };
        let map = |services: &str| {
            format!(r#"{{"nodesExt":[{{"services":{services}}}],"vBucketServerMap":{{"vBucketMap":[[0],[0]]}}}}"#)
        };
        assert_eq!(told(&map(r#"{"mgmt":8091,"kv":11210}"#)), (Some(2), true));
        assert_eq!(told(&map(r#"{"kv":11210}"#)), (Some(2), false));
        assert_eq!(told("{}"), (None, false));
        assert_eq!(told("no map"), (None, false));
    }
}

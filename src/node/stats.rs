use super::bucket::Bucket;
use super::config::Config;
use super::consumer::VbucketState;
use super::front::send;
use super::producer::Reply;
use super::producer::answer;
use super::vbucket::Vbucket;
use crate::dcp::StatResponse;
use crate::wire::Frame;
use crate::wire::Status;

/// STAT: one response a statistic, an empty one at the end. Groups: none, `vbucket`, `vbucket-seqno [N]`.
pub(super) fn stat(frame: &Frame<'_>, bucket: &Bucket, config: &Config) -> Reply {
    let header = frame.header();
    let group = String::from_utf8_lossy(frame.key());
    let (group, number) = group.split_once(' ').map_or((&*group, None), |(group, number)| (group, Some(number)));
    let numbers: Vec<u16> = match number.map(str::parse) {
        None => (0..bucket.len()).collect(),
        Some(Ok(number)) if number < bucket.len() => vec![number],
        Some(Ok(_)) => return answer(header, Status::NOT_MY_VBUCKET),
        Some(Err(_)) => return answer(header, Status::EINVAL),
    };
    let vbuckets = numbers
        .iter()
        .filter_map(|&number| bucket.vbucket(number).map(|vbucket| (number, vbucket)))
        .filter(|(_, vbucket)| !vbucket.is_deleted());
    let stats: Vec<(String, String)> = match group {
        "" => vec![
            ("version".to_owned(), config.era.version_text().to_owned()),
            ("bucket".to_owned(), config.bucket.clone()),
            ("vb_active_num".to_owned(), vbuckets.filter(|(_, vbucket)| !vbucket.is_dead()).count().to_string()),
        ],
        "vbucket" => {
            let state = |vbucket: &Vbucket| match vbucket.state() {
                Some(VbucketState::Active) => "active",
                Some(VbucketState::Replica) => "replica",
                Some(VbucketState::Pending) => "pending",
                Some(VbucketState::Dead) | None => "dead",
            };
            vbuckets.map(|(number, vbucket)| (format!("vb_{number}"), state(vbucket).to_owned())).collect()
        }
        "vbucket-seqno" => vbuckets
            .flat_map(|(number, vbucket)| {
                let uuid = vbucket.failover_log().first().map(|entry| entry.vb_uuid).unwrap_or_default();
                [
                    (format!("vb_{number}:high_seqno"), vbucket.high().to_string()),
                    (format!("vb_{number}:uuid"), uuid.to_string()),
                    (format!("vb_{number}:max_visible_seqno"), vbucket.max_visible(vbucket.high()).to_string()),
                ]
            })
            .collect(),
        _ => return answer(header, Status::KEY_ENOENT),
    };
    let mut frames = Vec::new();
    for (key, value) in stats.into_iter().chain([(String::new(), String::new())]) {
        if let Reply::Frame(frame) = send(&StatResponse { key, value }.response(header.opaque)) {
            frames.extend(frame);
        }
    }
    Reply::Frame(frames)
}

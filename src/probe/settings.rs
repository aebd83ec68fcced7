use crate::node::consumer::ClientConfig;
use crate::node::consumer::End;
use crate::scenario::ConsumerSettings;

/// Makes a consumer ask for what a scenario needs; `vbuckets` in place of those that the settings name.
pub fn apply(settings: &ConsumerSettings, vbuckets: Option<Vec<u16>>, config: &mut ClientConfig) {
    let ConsumerSettings {
        collections,
        snappy,
        sync_writes,
        consumer_name,
        expirations,
        stream_ids,
        stream_end_on_close,
        noop,
        v7,
        flatbuffers,
        window,
        vbuckets: _,
        end_seqno,
        stream_flags,
        controls,
    } = settings;
    let set = |field: &mut bool, value: &Option<bool>| *field = value.unwrap_or(*field);
    set(&mut config.collections, collections);
    set(&mut config.snappy, snappy);
    set(&mut config.sync_writes, sync_writes);
    set(&mut config.expirations, expirations);
    set(&mut config.stream_ids, stream_ids);
    config.sync_writes &= !config.stream_ids;
    set(&mut config.stream_end_on_close, stream_end_on_close);
    set(&mut config.v7, v7);
    set(&mut config.flatbuffers, flatbuffers);
    if *consumer_name == Some(false) {
        config.consumer_name = None;
    }
    if let Some(seconds) = noop {
        config.noop = Some(*seconds).filter(|&seconds| seconds > 0);
    }
    config.window = window.unwrap_or(config.window);
    config.vbuckets = vbuckets.unwrap_or_else(|| config.vbuckets.clone());
    config.end = end_seqno.map_or(config.end, End::At);
    config.stream_flags = stream_flags.unwrap_or(config.stream_flags);
    config.more_controls.extend(controls.iter().map(|(key, value)| (key.clone(), value.clone())));
}

/// Whether a consumer with these settings gets the items that one without them gets.
pub(crate) fn keeps_items(settings: &ConsumerSettings) -> bool {
    // These change how, or how fast, and not what.
    let ConsumerSettings { noop, v7, window, stream_end_on_close, snappy, consumer_name, .. } = settings.clone();
    let harmless =
        ConsumerSettings { noop, v7, window, stream_end_on_close, snappy, consumer_name, ..Default::default() };
    *settings == harmless
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::era::Era;

    #[test]
    fn what_is_not_set_stays_as_it_was() {
        let config = ClientConfig::new(Era::V7_0, [0, 1]);
        let mut applied = config.clone();
        apply(&ConsumerSettings::default(), None, &mut applied);
        assert!(applied == config && keeps_items(&ConsumerSettings::default()));
    }

    #[test]
    fn settings_are_the_consumers() {
        let settings = ConsumerSettings {
            stream_ids: Some(true),
            noop: Some(0),
            end_seqno: Some(100),
            stream_flags: Some(1),
            consumer_name: Some(false),
            ..ConsumerSettings::default()
        };
        let mut config = ClientConfig::new(Era::V7_0, [0, 1]);
        apply(&settings, Some(vec![7]), &mut config);
        assert_eq!((config.stream_ids, config.sync_writes, config.noop), (true, false, None));
        assert_eq!((config.end, config.stream_flags, config.vbuckets), (End::At(100), 1, vec![7]));
        assert_eq!(config.consumer_name, None);
        assert!(!keeps_items(&settings));
        assert!(keeps_items(&ConsumerSettings { window: Some(1000), v7: Some(false), ..Default::default() }));
    }
}

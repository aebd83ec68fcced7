//! The scenarios that the tool brings along: the files of `examples/scenarios/`.

/// Includes files by their names.
macro_rules! files {
    ($($name:literal)*) => {
        &[$(include_str!(concat!("../../examples/scenarios/", $name, ".toml"))),*]
    };
}

/// Their texts, in the order in which they are listed.
pub(super) const FILES: &[&str] = files! {
    "orphaned-responses"
    "close-at-end"
    "close-at-consumer"
    "close-at-producer"
    "close-at-both"
    "close-and-readd"
    "large-orphan"
    "mb-17230"
    "mb-18625"
    "mb-25820"
    "mb-26363"
    "mb-31481"
    "mb-32724"
    "mb-35287"
    "mb-35314"
    "mb-35378"
    "mb-36794"
    "mb-36971"
    "mb-37009"
    "mb-38356"
    "mb-40934"
    "mb-46634"
    "mb-50543"
    "mb-51105"
    "mb-72330"
    "mb-27489"
    "mb-35226"
    "mb-40277"
    "mb-62847"
    "mb-42506"
    "mb-45523"
    "stray-marker-ack"
    "mb-66612"
    "rollback-storm"
    "skip-after-close"
    "skip-after-orphan"
    "marker-in-flight"
    "response-crosses-close"
    "vbucket-state-in-flight"
    "consumer-closes"
    "consumer-noops"
    "consumer-rollback"
    "consumer-stream-ends"
    "go-dcp-151"
    "java-dcp-client-10"
    "kafka-connector-11"
    "kafka-connector-8"
    "mb-17766"
    "mb-18661"
    "mb-22241"
    "mb-28502"
    "mb-28573"
    "mb-34850"
    "mb-34951"
    "mb-41024"
    "mb-42256"
    "mb-47318"
    "mb-56275"
    "mb-59474"
    "mb-60468"
    "mb-64936"
    "mb-69524"
    "mb-72321"
    "mb-72652"
    "sync-gateway-5597"
    "sync-gateway-969"
};

#[cfg(test)]
mod tests {
    use super::super::Scenario;

    #[test]
    fn every_file_of_the_folder_is_there_under_its_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/scenarios");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        let mut names: Vec<_> =
            Scenario::built_in().into_iter().map(|(scenario, _)| format!("{}.toml", scenario.name)).collect();
        files.sort();
        names.sort();
        assert_eq!(names, files);
    }
}

//! Validates changes of MySQL's version and volume size (no client required).

use flaskblog_api::{
    Child, FlaskBlog, Storage,
    children::{ALLOW_UPGRADE, SERVED_IMAGE},
};
use kube::{ResourceExt, api::DynamicObject};

use crate::model::{
    blog_meta::BlogMeta,
    containers::MYSQL_CONTAINER,
    error::Invalid,
    kubectl::{allow_upgrade, set_mysql_image},
    observed::{Observed, claim_request},
    semantic_eq::{at_least, same_quantity},
};

/// The tag of an image: `mysql:9.7@sha256:…` has 9.7.
#[must_use]
pub fn tag_of(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    // A colon before the last slash separates a registry's port.
    name.rsplit('/').next()?.split_once(':').map(|(_, tag)| tag)
}

/// The same image with another tag.
fn with_tag(image: &str, tag: &str) -> String {
    let name = image.split('@').next().unwrap_or(image);
    let old = tag_of(image).map_or(0, |old| old.len() + 1);
    format!("{}:{tag}", &name[..name.len() - old])
}

/// The leading numbers of a tag.
///
/// `9.7.1-oracle` has 9, 7 and 1, `latest` has none.
fn numbers(tag: &str) -> Vec<u32> {
    let end =
        tag.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(tag.len());
    tag[..end].split('.').map_while(|part| part.parse().ok()).collect()
}

/// The server that the data was last used with.
#[derive(Debug, PartialEq, Eq)]
enum Served {
    /// None: the data is this blog's own, and MySQL was never ready.
    Nothing,
    /// An image, or a version alone.
    By(String),
    /// The data is older than the FlaskBlog and has no record.
    Unknown,
}

/// Reads the record.
///
/// The PVC's annotation stays with the data, while the status is deleted with the FlaskBlog.
fn served(blog: &FlaskBlog, observed: &Observed) -> Served {
    let claim = observed.data_claim.as_ref();
    let recorded = claim.and_then(|claim| claim.annotations().get(SERVED_IMAGE).cloned());
    let reported = || blog.status.as_ref()?.database_version.clone();
    if let Some(known) = recorded.or_else(reported) {
        return Served::By(known);
    }
    let older = claim.is_some_and(|claim| claim.creation_timestamp() < blog.creation_timestamp());
    match observed.children.get(&Child::Database).and_then(|set| mysql_image(set)) {
        _ if !older => Served::Nothing,
        Some(image) => Served::By(image.to_owned()),
        None => Served::Unknown,
    }
}

/// The MySQL image of a StatefulSet's template.
#[must_use]
pub fn mysql_image(statefulset: &DynamicObject) -> Option<&str> {
    let containers = statefulset.data.pointer("/spec/template/spec/containers")?.as_array()?;
    containers.iter().find(|one| one["name"] == MYSQL_CONTAINER)?["image"].as_str()
}

/// Refuses an older MySQL, and another series unless the user allows it.
///
/// MySQL can't use data of a newer MySQL, and an upgrade to another series is irreversible. The comparison uses the version
/// that has served, so that a mistyped tag that never started can be corrected.
///
/// Source: MySQL manual, chapters Downgrading MySQL and Upgrading MySQL.
pub(super) fn check_version(
    blog: &FlaskBlog,
    id: &BlogMeta,
    observed: &Observed,
    image: &str,
) -> Result<(), Invalid> {
    let served = match served(blog, observed) {
        Served::Nothing => return Ok(()),
        Served::By(served) if served == image => return Ok(()),
        Served::By(served) => tag_of(&served).map_or(served.clone(), str::to_owned),
        Served::Unknown => "an unknown MySQL".to_owned(),
    };
    let tag = tag_of(image).unwrap_or_default();
    let (old, new) = (numbers(&served), numbers(tag));
    let common = old.len().min(new.len());
    let word = blog.annotations().get(ALLOW_UPGRADE);
    if common == 0 {
        let wanted = wanted_word(image, &new);
        let confirmed = word.is_some_and(|word| *word == wanted);
        let (image, allow) = (image.to_owned(), allow_upgrade(id, &wanted));
        return if confirmed { Ok(()) } else { Err(Invalid::VersionUnknown { image, served, allow }) };
    }
    if new[..common] < old[..common] {
        let rename = set_mysql_image(id, &with_tag(image, &served));
        return Err(Invalid::DatabaseDowngrade { image: image.to_owned(), served, rename });
    }
    let series = common.min(2);
    let allowed = word.map(|word| numbers(word));
    let confirmed =
        allowed.is_some_and(|allowed| allowed.len() >= series && allowed[..series] == new[..series]);
    if new[..series] > old[..series] && !confirmed {
        return Err(Invalid::UpgradeUnconfirmed {
            image: image.to_owned(),
            served,
            allow: allow_upgrade(id, &wanted_word(image, &new)),
        });
    }
    Ok(())
}

/// The annotation's value: the series, else the tag or digest.
fn wanted_word(image: &str, numbers: &[u32]) -> String {
    if numbers.is_empty() {
        let digest = image.split_once('@').map(|(_, digest)| digest);
        return tag_of(image).or(digest).unwrap_or(image).to_owned();
    }
    numbers.iter().take(2).map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// The size for the StatefulSet's template.
///
/// It can't be changed in place, so it stays until the PVC has grown. Then the StatefulSet is recreated around its running pod.
pub(super) fn template_size(observed: &Observed, wanted: &Storage) -> String {
    let live = observed
        .children
        .get(&Child::Database)
        .and_then(|set| set.data.pointer("/spec/volumeClaimTemplates/0/spec/resources/requests/storage"))
        .and_then(|size| size.as_str());
    let claim = observed.data_claim.as_ref().and_then(claim_request);
    match (live, claim) {
        // A PVC that wasn't read hasn't changed.
        (Some(live), None) => live.to_owned(),
        (Some(live), Some(claim)) if !at_least(&claim, &wanted.size) => live.to_owned(),
        // The PVC is larger than the spec, and no template shrinks it.
        (Some(live), Some(claim)) if !at_least(&wanted.size, &claim) && at_least(live, &wanted.size) => {
            live.to_owned()
        }
        (Some(live), _) if same_quantity(live, &wanted.size) => live.to_owned(),
        _ => wanted.size.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn observed(claim: Value) -> Observed {
        let data_claim = serde_json::from_value(claim).unwrap();
        Observed { data_claim, claim_was_read: true, ..Observed::default() }
    }

    fn verdict(
        served: Option<&str>,
        observed: &Observed,
        image: &str,
        allowed: Option<&str>,
    ) -> Result<(), &'static str> {
        let mut annotations = serde_json::Map::new();
        if let Some(allowed) = allowed {
            annotations.insert(ALLOW_UPGRADE.into(), allowed.into());
        }
        let blog = serde_json::from_value(json!({
            "apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog",
            "metadata": {"name": "x", "namespace": "n", "uid": "1", "annotations": annotations,
                "creationTimestamp": "2026-02-02T00:00:00Z"},
            "spec": {}, "status": {"databaseVersion": served},
        }))
        .unwrap();
        let id = BlogMeta::of(&blog).unwrap();
        let checked = check_version(&blog, &id, observed, image);
        checked.map_err(|invalid| crate::model::error::Error::from(invalid).reason())
    }

    fn checked(served: Option<&str>, image: &str, allowed: Option<&str>) -> Result<(), &'static str> {
        verdict(served, &Observed::default(), image, allowed)
    }

    fn of_claim(claim: Value, image: &str, allowed: Option<&str>) -> Result<(), &'static str> {
        verdict(None, &observed(claim), image, allowed)
    }

    #[test]
    fn record_on_the_claim_refuses_without_any_status() {
        let claim = json!({"metadata": {"annotations": {SERVED_IMAGE: "registry:5000/mysql:9.7"}}});
        assert_eq!(of_claim(claim.clone(), "mysql:8.4", None), Err("DatabaseDowngrade"));
        assert_eq!(of_claim(claim.clone(), "mysql:9.8", None), Err("UpgradeUnconfirmed"));
        assert_eq!(of_claim(claim.clone(), "mysql:9.8", Some("9.8")), Ok(()));
        assert_eq!(of_claim(claim, "mysql:9.7.4", None), Ok(()));
    }

    #[test]
    fn older_claim_without_a_record_needs_confirmation() {
        let made = |at: &str| json!({"metadata": {"creationTimestamp": at}});
        let (older, newer) = (made("2026-01-01T00:00:00Z"), made("2026-03-01T00:00:00Z"));
        assert_eq!(of_claim(older.clone(), "mysql:9.7", None), Err("UpgradeUnconfirmed"));
        assert_eq!(of_claim(older, "mysql:9.7", Some("9.7")), Ok(()));
        assert_eq!(of_claim(newer, "mysql:9.7", None), Ok(()), "it never served");
    }

    #[test]
    fn image_without_a_version_needs_confirmation() {
        let digest = "mysql@sha256:ab";
        for (image, word) in
            [("mysql:latest", "latest"), ("h:5000/mysql:prod", "prod"), (digest, "sha256:ab")]
        {
            assert_eq!(checked(Some("9.7"), image, None), Err("UpgradeUnconfirmed"), "{image}");
            assert_eq!(checked(Some("9.7"), image, Some("9.7")), Err("UpgradeUnconfirmed"), "{image}");
            assert_eq!(checked(Some("9.7"), image, Some(word)), Ok(()), "{image}");
        }
        let claim = json!({"metadata": {"annotations": {SERVED_IMAGE: "mysql:latest"}}});
        assert_eq!(of_claim(claim.clone(), "mysql:latest", None), Ok(()), "the image that has served");
        assert_eq!(of_claim(claim.clone(), "mysql:9.7", None), Err("UpgradeUnconfirmed"));
        assert_eq!(of_claim(claim, "mysql:9.7", Some("9.7")), Ok(()));
    }

    #[test]
    fn image_keeps_its_registry_with_another_tag() {
        assert_eq!(with_tag("h:5000/mysql:8.4@sha256:ab", "9.7"), "h:5000/mysql:9.7");
        assert_eq!(with_tag("h:5000/mysql@sha256:ab", "9.7"), "h:5000/mysql:9.7");
    }

    #[test]
    fn an_older_mysql_never_gets_newer_data() {
        assert_eq!(checked(Some("9.7"), "mysql:8.4", None), Err("DatabaseDowngrade"));
        assert_eq!(
            checked(Some("9.7.1"), "host:5000/mysql:9.7.0@sha256:ab", Some("9.7")),
            Err("DatabaseDowngrade")
        );
    }

    #[test]
    fn another_series_needs_a_word_and_a_patch_does_not() {
        assert_eq!(checked(Some("8.4.3"), "mysql:9.7", None), Err("UpgradeUnconfirmed"));
        assert_eq!(checked(Some("8.4.3"), "mysql:9.7", Some("9.6")), Err("UpgradeUnconfirmed"));
        assert_eq!(checked(Some("8.4.3"), "mysql:9.7.2", Some("9.7")), Ok(()));
        assert_eq!(checked(Some("8.4.3"), "mysql:8.4.4-oracle", None), Ok(()));
        assert_eq!(checked(Some("9.7"), "mysql:9", None), Ok(()));
    }

    #[test]
    fn image_that_never_served_is_free_to_change() {
        assert_eq!(checked(None, "mysql:8.4", None), Ok(()));
        assert_eq!(checked(None, "mysql:latest", None), Ok(()));
    }

    #[test]
    fn the_template_keeps_its_size_until_the_claim_has_grown() {
        let observed = |live: &str, claim: &str| {
            let size = |size: &str| json!({"resources": {"requests": {"storage": size}}});
            let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x-mysql"},
                "spec": {"volumeClaimTemplates": [{"spec": size(live)}]}});
            Observed {
                children: [(Child::Database, std::sync::Arc::new(serde_json::from_value(set).unwrap()))]
                    .into(),
                data_claim: Some(
                    serde_json::from_value(json!({"metadata": {}, "spec": size(claim)})).unwrap(),
                ),
                ..Observed::default()
            }
        };
        let wanted = Storage { size: "2Gi".into(), ..Storage::default() };
        assert_eq!(template_size(&observed("1Gi", "1Gi"), &wanted), "1Gi");
        assert_eq!(template_size(&observed("1Gi", "2Gi"), &wanted), "2Gi");
        assert_eq!(template_size(&observed("3Gi", "3Gi"), &wanted), "3Gi", "a smaller spec changes nothing");
        assert_eq!(template_size(&observed("3Gi", "2Gi"), &wanted), "2Gi", "a growth that was taken back");
        assert_eq!(
            template_size(&observed("2048Mi", "2Gi"), &wanted),
            "2048Mi",
            "the same amount is no change"
        );
        assert_eq!(template_size(&Observed::default(), &wanted), "2Gi");
    }
}

//! What may become of the data's server: which version, which size (no client required).

use flaskblog_api::{Child, FlaskBlog, Storage, children::ALLOW_UPGRADE};
use kube::ResourceExt;

use crate::{
    compare::{at_least, same_quantity},
    error::Invalid,
    observe::{Observed, claim_request},
};

/// The tag of an image: `mysql:9.7@sha256:…` has 9.7.
#[must_use]
pub fn tag_of(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    // A colon before the last slash belongs to a registry's port.
    name.rsplit('/').next()?.split_once(':').map(|(_, tag)| tag)
}

/// The numbers that a tag begins with: `9.7.1-oracle` has 9, 7 and 1; `latest` has none.
fn numbers(tag: &str) -> Vec<u32> {
    let end =
        tag.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(tag.len());
    tag[..end].split('.').map_while(|part| part.parse().ok()).collect()
}

/// MySQL never runs on data that a newer one has written, and an upgrade to another series can't be taken back, so a person
/// has to say that a copy of the data exists. Compared with the version that has served, so that a mistyped tag which
/// never started can be mended. Tags without numbers can't be compared.
///
/// Source: MySQL manual, chapters Downgrading MySQL and Upgrading MySQL.
pub(super) fn check_version(blog: &FlaskBlog, image: &str) -> Result<(), Invalid> {
    let Some(served) = blog.status.as_ref().and_then(|status| status.database_version.clone()) else {
        return Ok(());
    };
    let Some(tag) = tag_of(image) else { return Ok(()) };
    let (old, new) = (numbers(&served), numbers(tag));
    let common = old.len().min(new.len());
    if common == 0 {
        return Ok(());
    }
    if new[..common] < old[..common] {
        return Err(Invalid::DatabaseDowngrade { image: image.to_owned(), served });
    }
    let series = common.min(2);
    let allowed = blog.annotations().get(ALLOW_UPGRADE).map(|allowed| numbers(allowed));
    let confirmed =
        allowed.is_some_and(|allowed| allowed.len() >= series && allowed[..series] == new[..series]);
    if new[..series] > old[..series] && !confirmed {
        let wanted = new.iter().take(2).map(u32::to_string).collect::<Vec<_>>().join(".");
        return Err(Invalid::UpgradeUnconfirmed { image: image.to_owned(), served, wanted });
    }
    Ok(())
}

/// The size for the StatefulSet's template. That can't be changed in place, so it keeps its size until the claim has grown;
/// then the StatefulSet is made anew around its running pod.
pub(super) fn template_size(observed: &Observed, wanted: &Storage) -> String {
    let live = observed
        .children
        .get(&Child::Database)
        .and_then(|set| set.data.pointer("/spec/volumeClaimTemplates/0/spec/resources/requests/storage"))
        .and_then(|size| size.as_str());
    let claim = observed.data_claim.as_ref().and_then(claim_request);
    match (live, claim) {
        // Unread means that nothing has changed since it was.
        (Some(live), None) => live.to_owned(),
        (Some(live), Some(claim)) if !at_least(&claim, &wanted.size) => live.to_owned(),
        (Some(live), _) if same_quantity(live, &wanted.size) => live.to_owned(),
        _ => wanted.size.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(served: Option<&str>, image: &str, allowed: Option<&str>) -> Result<(), &'static str> {
        let mut annotations = serde_json::Map::new();
        if let Some(allowed) = allowed {
            annotations.insert(ALLOW_UPGRADE.into(), allowed.into());
        }
        let blog = serde_json::from_value(json!({
            "apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog",
            "metadata": {"name": "x", "annotations": annotations}, "spec": {}, "status": {"databaseVersion": served},
        }))
        .unwrap();
        check_version(&blog, image).map_err(|invalid| crate::error::Error::from(invalid).reason())
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
    fn a_tag_that_never_served_or_has_no_number_stops_nothing() {
        assert_eq!(checked(None, "mysql:8.4", None), Ok(()));
        assert_eq!(checked(Some("9.7"), "mysql:latest", None), Ok(()));
        assert_eq!(checked(Some("9.7"), "registry:5000/mysql", None), Ok(()));
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
        assert_eq!(
            template_size(&observed("2048Mi", "2Gi"), &wanted),
            "2048Mi",
            "the same amount is no change"
        );
        assert_eq!(template_size(&Observed::default(), &wanted), "2Gi");
    }
}

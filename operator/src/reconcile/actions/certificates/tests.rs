use std::{sync::Arc, time::Duration};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::*;

const NOW: &str = "2026-11-25T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn id() -> BlogMeta {
    BlogMeta { namespace: "press".into(), name: "daily".into(), uid: "1".into(), generation: Some(1) }
}

/// The Secret as the API server would store it.
#[derive(Clone, Default)]
struct Kept {
    annotations: BTreeMap<String, String>,
    data: BTreeMap<String, ByteString>,
}

impl Kept {
    fn first(at: Timestamp) -> Self {
        Self::of(first(&id(), at).unwrap())
    }

    fn of(content: Content) -> Self {
        Self {
            annotations: content.annotations.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            data: content
                .data
                .into_iter()
                .map(|(key, text)| (key.into(), ByteString(text.into_bytes())))
                .collect(),
        }
    }

    fn next(&self, asked: Option<&str>, at: Timestamp) -> Option<Step> {
        let annotations: BTreeMap<_, _> = asked.map(|word| (ROTATE_CERTIFICATES, word)).into_iter().collect();
        let blog =
            serde_json::from_value(json!({"apiVersion": "flaskblog.dev/v1alpha1", "kind": "FlaskBlog",
            "metadata": {"name": "daily", "annotations": annotations}, "spec": {}}));
        let secret = ObjectMeta { annotations: Some(self.annotations.clone()), ..ObjectMeta::default() };
        step(&blog.unwrap(), &secret, at)
    }

    /// Merges the step's patch as the API server does.
    fn take(&mut self, step: &Step, at: Timestamp) {
        let patch = changed(&id(), step, &self.data, at).unwrap();
        for (key, value) in patch["metadata"]["annotations"].as_object().unwrap() {
            match value.as_str() {
                Some(text) => self.annotations.insert(key.clone(), text.to_owned()),
                None => self.annotations.remove(key),
            };
        }
        for (key, value) in patch["data"].as_object().unwrap() {
            self.data.insert(key.clone(), serde_json::from_value(value.clone()).unwrap());
        }
    }

    fn text(&self, key: &str) -> String {
        String::from_utf8(self.data[key].0.clone()).unwrap()
    }
}

/// Whether a blog trusts a MySQL with another version of the Secret.
fn believes(blog: &Kept, mysql: &Kept, host: &str, at: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(blog.text("ca.crt").as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let certificate = CertificateDer::from_pem_slice(mysql.text("tls.crt").as_bytes()).unwrap();
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_second().try_into().unwrap()));
    verifier.verify_server_cert(&certificate, &[], &host, &[], at).is_ok()
}

#[test]
fn the_blog_believes_mysql_under_each_of_its_names_and_nobody_else() {
    let (ours, other) = (Kept::first(now()), Kept::first(now()));
    for host in ["daily-mysql", "daily-mysql.press", "daily-mysql.press.svc"] {
        assert!(believes(&ours, &ours, host, now()), "{host}");
    }
    assert!(!believes(&ours, &ours, "weekly-mysql", now()));
    assert!(!believes(&ours, &other, "daily-mysql", now()), "another blog's authority");
    assert!(!believes(&ours, &ours, "daily-mysql", now() + CERTIFICATE_LIFE + SKEW), "it has ended");
}

#[test]
fn without_an_operator_they_last_for_years_and_with_one_they_are_renewed_as_ever() {
    let content = unattended(&id(), now()).unwrap();
    let kept = Kept::of(content);
    assert!(believes(&kept, &kept, "daily-mysql", now() + CERTIFICATE_LIFE * 30));
    assert_eq!(kept.next(None, now() + CERTIFICATE_RENEWAL), Some(Step::Sign));
}

const SKEW: SignedDuration = SignedDuration::from_hours(2);

#[test]
fn during_a_rotation_neighbouring_versions_of_the_secret_understand_each_other() {
    let mut kept = Kept::first(now());
    let mut at = now();
    let mut taken = Vec::new();
    while let Some(step) = kept.next(Some("leaked"), at) {
        let before = kept.clone();
        kept.take(&step, at);
        for (blog, mysql) in [(&before, &kept), (&kept, &before), (&kept, &kept)] {
            assert!(believes(blog, mysql, "daily-mysql", at), "{step:?}");
        }
        assert_eq!(kept.next(Some("leaked"), at), None, "{step:?}: the pods need time");
        taken.push(step);
        at += OVERLAP;
    }
    assert_eq!(taken, [Step::Introduce(Some("leaked".into())), Step::Sign, Step::Forget]);
    let old = Kept::first(now());
    assert_ne!(kept.text("ca.key"), old.text("ca.key"));
    assert_eq!(kept.text("ca.crt").matches("BEGIN").count(), 1, "the old authority is forgotten");
}

#[test]
fn certificates_and_authorities_are_renewed_by_age_and_never_outlive_what_signed_them() {
    let mut kept = Kept::first(now());
    let mut at = now();
    let (mut signed, mut introduced) = (0, 0);
    while at < now() + AUTHORITY_LIFE * 2 {
        if let Some(step) = kept.next(None, at) {
            signed += i32::from(step == Step::Sign);
            introduced += i32::from(matches!(step, Step::Introduce(_)));
            kept.take(&step, at);
        }
        // Also without a reconcile for a fortnight, and long after a step.
        for later in [SignedDuration::ZERO, SignedDuration::from_hours(14 * 24)] {
            assert!(believes(&kept, &kept, "daily-mysql", at + later), "{at}");
        }
        at += SignedDuration::from_hours(36);
    }
    assert_eq!(introduced, 2);
    assert!((24..=28).contains(&signed), "{signed}");
}

#[test]
fn a_secret_that_was_emptied_or_lost_its_dates_is_filled_anew() {
    let mut kept = Kept::default();
    let mut at = now();
    while let Some(step) = kept.next(None, at) {
        kept.take(&step, at);
        at += OVERLAP;
    }
    assert!(believes(&kept, &kept, "daily-mysql", at));
}

#[test]
fn a_word_is_taken_once() {
    let mut kept = Kept::first(now());
    assert_eq!(kept.next(None, now()), None);
    assert_eq!(kept.next(Some(""), now()), None);
    for at in [now(), now() + OVERLAP, now() + OVERLAP * 2] {
        let step = kept.next(Some("may"), at).unwrap();
        kept.take(&step, at);
    }
    assert_eq!(kept.next(Some("may"), now() + OVERLAP * 3), None);
    assert_eq!(kept.next(Some("june"), now() + OVERLAP * 3), Some(Step::Introduce(Some("june".into()))));
}

#[test]
fn what_was_made_by_a_clock_that_was_ahead_is_made_anew() {
    let ahead = Kept::first(now() + SignedDuration::from_hours(24 * 365));
    assert_eq!(ahead.next(None, now()), Some(Step::Introduce(None)));
    let a_little = Kept::first(now() + SignedDuration::from_mins(30));
    assert_eq!(a_little.next(None, now()), None, "it is valid");
    let mut introduced = Kept::first(now());
    introduced.take(&Step::Introduce(None), now());
    assert_eq!(introduced.next(None, now() - SignedDuration::from_mins(5)), None, "it waits a little longer");
    assert_eq!(introduced.next(None, now() - SignedDuration::from_mins(11)), Some(Step::Sign));
}

#[test]
fn the_end_of_a_certificate_is_noted_and_known_of_older_ones() {
    let kept = Kept::first(now());
    let ends = |annotations: BTreeMap<String, String>| {
        not_after(&ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() })
    };
    assert_eq!(ends(kept.annotations.clone()), Some(now() + CERTIFICATE_LIFE));
    let mut older = kept.annotations;
    older.remove(CERTIFICATE_NOT_AFTER);
    assert_eq!(ends(older), Some(now() + CERTIFICATE_LIFE));
    assert_eq!(ends(BTreeMap::new()), None);
}

#[test]
fn failed_certificate_has_a_reason_of_its_own() {
    let source = rcgen::Error::RingUnspecified;
    let error = crate::model::error::Error::Certificate { name: "daily-mysql-tls".into(), source };
    assert_eq!(error.reason(), "CertificateFailed");
    assert!(error.to_string().contains("Secret daily-mysql-tls"), "{error}");
}

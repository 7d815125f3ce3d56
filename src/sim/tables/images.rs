use proptest::prelude::*;

use trackdown_core::images::same_or_pinned;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn a_pinned_digest_is_the_same_image() {
    for (wanted, live, same) in [
        ("web:1", "web:1", true),
        ("web:1", "web:2", false),
        ("web:1", &format!("web:1@{DIGEST}"), true),
        ("web:1", &format!("web@{DIGEST}"), false),
        ("web:1", &format!("web:2@{DIGEST}"), false),
        ("web:1", &format!("web-evil@{DIGEST}"), false),
        ("ghcr.io/acme/web:1", &format!("ghcr.io.evil/acme/web:1@{DIGEST}"), false),
        ("localhost:5000/web", &format!("localhost:5000/web@{DIGEST}"), true),
        ("web", &format!("web:1@{DIGEST}"), false),
        (&format!("web@{DIGEST}"), &format!("web@{}", DIGEST.replace('a', "b")), false),
    ] {
        assert_eq!(same_or_pinned(wanted, live), same, "{wanted} and {live}");
    }
}

proptest! {
    #[test]
    fn every_image_is_itself_and_pinned_itself(image in "[a-z0-9.]{1,8}(:[0-9]{2,4})?(/[a-z0-9-]{1,8}){0,2}(:[a-z0-9.]{1,8})?") {
        prop_assert!(same_or_pinned(&image, &image));
        let pinned = format!("{image}@{DIGEST}");
        prop_assert!(same_or_pinned(&image, &pinned));
    }

    #[test]
    fn no_text_breaks_it(wanted in ".{0,40}", live in ".{0,40}") {
        let _ = same_or_pinned(&wanted, &live);
    }
}

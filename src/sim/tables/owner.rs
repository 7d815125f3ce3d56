use serde_json::json;

use crate::world::{NEW, OLD, view, workload};
use trackdown_api::marker::Marker;
use trackdown_api::workload_ref::ContainerImage;
use trackdown_core::workload::owner::ImageOwner;
use trackdown_core::workload::patch;

const MARKS: [(&str, &str, &str); 5] = [
    ("annotations", "argocd.argoproj.io/tracking-id", "shop:apps/Deployment:shop/web"),
    ("labels", "argocd.argoproj.io/instance", "shop"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "shop"),
    ("labels", "helm.toolkit.fluxcd.io/name", "shop"),
    ("annotations", "trackdown.dev/write", "allow"),
];

/// The window between the read and the write: labels move neither generation nor marker.
#[test]
fn a_write_is_refused_when_an_owner_has_appeared_or_its_consent_is_gone() {
    let images = [ContainerImage { container: "web".into(), image: NEW.into() }];
    let marker = Marker {
        workload_uid: "workload-uid".into(),
        ticket_uid: "t".into(),
        namespace: "shop".into(),
        record: "r".into(),
        set: images.to_vec(),
        undo: Vec::new(),
        restored: false,
        succeeded: false,
        fenced: None,
    };
    for labels in [json!(null), json!({"app": "web"})] {
        let mut before = workload(OLD);
        if !labels.is_null() {
            before["metadata"]["labels"] = labels;
        }
        for write in [patch::set_images(&view(&before), &images, &marker), patch::restore_images(&view(&before), &images, &marker)]
        {
            assert!(accepts(&before, &write), "nobody has appeared");
            for (map, key, value) in MARKS {
                let mut adopted = before.clone();
                adopted["metadata"].as_object_mut().unwrap().entry(map).or_insert_with(|| json!({}))[key] = json!(value);
                assert!(!accepts(&adopted, &write), "{key} has appeared");
            }
        }
    }
    let mut owned = workload(OLD);
    owned["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!("shop:apps/Deployment:shop/web");
    assert_eq!(view(&owned).foreign_owner(), Some(&ImageOwner::ArgoCd("shop".into())));
    owned["metadata"]["annotations"]["trackdown.dev/write"] = json!("allow");
    assert_eq!(view(&owned).foreign_owner(), None);
    let write = patch::set_images(&view(&owned), &images, &marker);
    assert!(accepts(&owned, &write));
    owned["metadata"]["annotations"].as_object_mut().unwrap().remove("trackdown.dev/write");
    assert!(!accepts(&owned, &write), "consent was taken back");
}

/// What Flux never delivers an image to is nobody's that Git could ask.
#[test]
fn what_flux_leaves_alone_is_not_its_own() {
    for map in ["labels", "annotations"] {
        for (key, value, owned) in [
            ("kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent", false),
            ("kustomize.toolkit.fluxcd.io/ssa", "ignore", false),
            ("kustomize.toolkit.fluxcd.io/ssa", "Merge", true),
            ("kustomize.toolkit.fluxcd.io/reconcile", "Disabled", false),
        ] {
            let mut workload = workload(OLD);
            workload["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "shop"});
            workload["metadata"][map][key] = json!(value);
            assert_eq!(view(&workload).foreign_owner().is_some(), owned, "{map} {key}={value}");
            workload["metadata"]["labels"]["helm.toolkit.fluxcd.io/name"] = json!("shop");
            assert!(view(&workload).foreign_owner().is_some(), "kustomize's marks mean nothing to a HelmRelease");
        }
    }
}

/// As the API server's JSON patch does it: a `test` for null holds where the member is absent.
fn accepts(workload: &serde_json::Value, patch: &json_patch::Patch) -> bool {
    patch.0.iter().all(|operation| match operation {
        json_patch::PatchOperation::Test(test) => {
            *workload.pointer(test.path.as_str()).unwrap_or(&serde_json::Value::Null) == test.value
        }
        _ => true,
    })
}

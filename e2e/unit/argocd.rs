//! The Argo CD health scripts give what `manifests/argocd/tests.yaml` says.

use mlua::{Lua, LuaSerdeExt};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/argocd");

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(format!("{FOLDER}/{path}")).unwrap()).unwrap()
}

#[test]
fn health_scripts_judge_the_test_data() {
    let tests = yaml("tests.yaml");
    let tests = tests["tests"].as_array().unwrap();
    assert!(tests.len() >= 10);
    for test in tests {
        let input = test["inputPath"].as_str().unwrap();
        let object = yaml(input);
        let kind = object["kind"].as_str().unwrap().to_lowercase();
        let lua = Lua::new();
        lua.globals().set("obj", lua.to_value(&object).unwrap()).unwrap();
        let script = std::fs::read_to_string(format!("{FOLDER}/health-{kind}.lua")).unwrap();
        let health: mlua::Table = lua.load(script).eval().unwrap();
        let expected = &test["healthStatus"];
        assert_eq!(health.get::<String>("status").unwrap(), expected["status"], "{input}");
        assert_eq!(health.get::<String>("message").unwrap(), expected["message"], "{input}");
    }
}

#[test]
fn the_config_map_has_the_same_scripts() {
    let map = yaml("argocd-cm.yaml");
    for kind in ["Ticket", "Deployment"] {
        let embedded = map["data"][format!("resource.customizations.health.trackdown.dev_{kind}")].as_str().unwrap();
        let script = std::fs::read_to_string(format!("{FOLDER}/health-{}.lua", kind.to_lowercase())).unwrap();
        assert_eq!(embedded.trim(), script.trim());
    }
}

//! All that is known, by the schema in `schema/audit.json`.

use crate::check::Audit;
use crate::report::json::pretty;

pub(super) fn render(audit: &Audit) -> String {
    pretty(audit)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schemars::generate::SchemaSettings;
    use serde_json::Value;

    use super::*;
    use crate::format::samples;

    /// The schema of the types, as it is published.
    fn schema() -> String {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let mut schema = settings.into_generator().into_root_schema_for::<Audit>();
        schema.insert("title".to_owned(), "An audit of bnfold".into());
        pretty(&schema)
    }

    /// Run with `BLESS=1` after a change of a type: it rewrites `schema/audit.json`.
    #[test]
    fn the_published_schema_is_that_of_the_types() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/audit.json");
        let schema = schema();
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &schema).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap();
        assert!(
            published == schema,
            "schema/audit.json is stale: run this test with BLESS=1"
        );
    }

    #[test]
    fn every_sample_is_valid_by_the_published_schema() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for (name, audit) in samples::all() {
            let value: Value = serde_json::from_str(&render(&audit)).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|e| e.to_string())
                .collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        }
        let mut wrong = serde_json::to_value(samples::all()[1].1.clone()).unwrap();
        wrong["models"][0]["findings"][0]["code"] = "no-such-code".into();
        assert!(!validator.is_valid(&wrong));
    }

    #[test]
    fn what_is_written_is_read_back_the_same_with_numbers_that_json_lacks() {
        for (name, audit) in samples::all() {
            let text = render(&audit);
            let read: Audit = serde_json::from_str(&text).unwrap();
            assert_eq!(render(&read), text, "{name}");
        }
        let text = render(&samples::all()[1].1);
        for named in ["\"inf\"", "\"-inf\"", "\"NaN\""] {
            assert!(text.contains(named), "{named}");
        }
    }
}

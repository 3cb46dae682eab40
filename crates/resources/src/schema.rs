//! What a derived schema lacks to be a good one for the apiserver.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrBool,
};

/// Makes the derived definition one that the apiserver takes and that explains itself.
pub(crate) fn finished(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let lines = definition.spec.names.kind == "ScannerLine";
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            walk(schema, lines);
        }
    }
    definition
}

/// - The apiserver itself refuses unknown fields; `additionalProperties: false` beside properties is no structural schema.
/// - The formats of unsigned numbers are unknown to it; their minimum of 0 says the same.
/// - Defaults of a line are the gateway's: written into each line, a better default would reach no line that exists.
fn walk(schema: &mut JSONSchemaProps, without_defaults: bool) {
    if matches!(schema.additional_properties, Some(JSONSchemaPropsOrBool::Bool(false))) {
        schema.additional_properties = None;
    }
    if schema.format.as_ref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    if without_defaults {
        schema.default = None;
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        walk(property, without_defaults);
    }
    if let Some(
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray::Schema(
            items,
        ),
    ) = &mut schema.items
    {
        walk(items, without_defaults);
    }
}

package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/job"
)

// draft is the dialect of the published schemas: that of OpenAPI 3.1.
const draft = "https://json-schema.org/draft/2020-12/schema"

// routeSchemas publishes the form of the files that users write, made of the
// types that are decoded.
func (a *API) routeSchemas() error {
	schemas := a.huma.OpenAPI().Components.Schemas
	workflow := &huma.Schema{
		Type: huma.TypeObject, Required: []string{batch}, AdditionalProperties: false, Properties: map[string]*huma.Schema{},
	}
	all := schemas.SchemaFromRef(schemas.Schema(reflect.TypeFor[job.Spec](), true, "").Ref)
	for _, key := range job.WorkflowKeys() {
		workflow.Properties[key] = all.Properties[key]
	}
	parts := map[string]*huma.Schema{}
	for _, t := range []reflect.Type{reflect.TypeFor[job.Step](), reflect.TypeFor[job.RetryPolicy]()} {
		ref := schemas.Schema(t, true, "").Ref
		parts[path.Base(ref)] = schemas.SchemaFromRef(ref)
	}
	body, err := json.Marshal(map[string]any{
		"$schema": draft, "$id": "/schemas/workflow.json", "title": "A workflow of hypervisord",
		"allOf": []any{workflow}, "$defs": parts,
	})
	if err != nil {
		return fmt.Errorf("encode the schema of a workflow: %w", err)
	}
	body = bytes.ReplaceAll(body, []byte("#/components/schemas/"), []byte("#/$defs/"))
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "workflow_schema", Method: http.MethodGet, Path: "/schemas/workflow.json", Tags: tagDaemon, Summary: "JSON Schema of a workflow file",
		Responses: withProblem(schemas, map[string]*huma.Response{"200": {
			Description: "JSON Schema 2020-12",
			Content:     map[string]*huma.MediaType{mediaJSON: {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}},
		}}),
	})
	a.mux.HandleFunc("GET /schemas/workflow.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaJSON)
		_, _ = w.Write(body) // the client is gone: nobody to tell
	})
	return nil
}

package rest

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/docs/schemas"
)

// routeSchemas publishes the form of the files that users write.
func (a *API) routeSchemas() {
	registry := a.huma.OpenAPI().Components.Schemas
	for _, kind := range schemas.Kinds() {
		path := "/schemas/" + kind + ".json"
		a.huma.OpenAPI().AddOperation(&huma.Operation{
			OperationID: kind + "_schema", Method: http.MethodGet, Path: path, Tags: tagDaemon, Summary: "JSON Schema of a " + kind + " file",
			Responses: withProblem(registry, map[string]*huma.Response{"200": {
				Description: "JSON Schema 2020-12",
				Content:     map[string]*huma.MediaType{mediaJSON: {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}},
			}}),
		})
		a.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			body, _ := schemas.Of(kind)
			w.Header().Set("Content-Type", mediaJSON)
			_, _ = w.Write(body) // the client is gone: nobody to tell
		})
	}
}

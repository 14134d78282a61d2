package rest

import "github.com/danielgtaylor/huma/v2"

// Operations returns the method and path of each operation, joined by a space, by
// its id.
func (a *API) Operations() map[string]string {
	all := map[string]string{}
	for path, item := range a.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete, item.Patch} {
			if op != nil {
				all[op.OperationID] = op.Method + " " + path
			}
		}
	}
	return all
}

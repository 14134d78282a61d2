package rest

import "context"

// Ready tells what GET /readyz answers: whether requests should be sent here.
func (a *API) Ready(ctx context.Context) bool {
	return !a.closing() && a.examine(ctx).Status != Unhealthy
}

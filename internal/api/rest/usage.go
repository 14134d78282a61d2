package rest

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hypersdk/hypersdk/internal/tenant"
)

const (
	formatCSV = "csv"
	mediaCSV  = "text/csv"
)

func (a *API) routeUsage() {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[UsageReport](), true, "")
	private(a, huma.Operation{
		OperationID: "tenant_usage", Method: http.MethodGet, Path: "/tenants/{id}/usage", Tags: tagTenants, Summary: "What a tenant used, by month",
		Description: "Months (UTC) in which nothing ended are absent. As CSV with ?format=csv or Accept: text/csv.",
		Responses: map[string]*huma.Response{"200": {Description: "The months, the oldest first", Content: map[string]*huma.MediaType{
			mediaJSON: {Schema: schema}, mediaCSV: {Schema: &huma.Schema{Type: huma.TypeString}},
		}}},
	}, a.tenantUsage)
}

type usageInput struct {
	ID     tenant.ID    `path:"id" doc:"The tenant's id"`
	From   tenant.Month `query:"from" doc:"The first month" example:"2026-01"`
	To     tenant.Month `query:"to" doc:"The last month" example:"2026-03"`
	Format string       `query:"format" enum:"json,csv" doc:"json unless told"`
}

// Resolve looks at what the client accepts: huma is told that it is JSON.
func (in *usageInput) Resolve(hc huma.Context) []error {
	r, _ := humago.Unwrap(hc)
	if in.Format != "" {
		return nil
	}
	for accepted := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if mt, _, err := mime.ParseMediaType(accepted); err == nil && mt == mediaCSV {
			in.Format = formatCSV
		}
	}
	return nil
}

// UsageReport is what a tenant used.
type UsageReport struct {
	Tenant tenant.ID      `json:"tenant"`
	Months []tenant.Usage `json:"months" nullable:"false"`
}

type usageOutput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Body        []byte
}

func (a *API) tenantUsage(ctx context.Context, p tenant.Principal, in *usageInput) (*usageOutput, error) {
	id, months, err := a.deps.Service.Usage(ctx, p, in.ID, in.From, in.To)
	if err != nil {
		return nil, err
	}
	if months == nil {
		months = []tenant.Usage{}
	}
	var b bytes.Buffer
	if in.Format == formatCSV {
		err = writeUsage(&b, id, months)
		return &usageOutput{ContentType: mediaCSV + "; charset=utf-8", Body: b.Bytes()}, err
	}
	err = encode(&b, UsageReport{Tenant: id, Months: months})
	return &usageOutput{ContentType: mediaJSON, Body: b.Bytes()}, err
}

// writeUsage writes RFC 4180, one line for each month; reports of several
// tenants can be put together.
func writeUsage(b *bytes.Buffer, id tenant.ID, months []tenant.Usage) error {
	w := csv.NewWriter(b)
	rows := [][]string{{"tenant", "month", "jobs_completed", "jobs_failed", "jobs_cancelled", "bytes_read", "bytes_transferred", "bytes_stored", "seconds"}}
	for _, u := range months {
		row := []string{string(id), string(u.Month)}
		for _, n := range []int64{u.Completed, u.Failed, u.Cancelled, u.BytesRead, u.BytesTransferred, u.BytesStored} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, append(row, strconv.FormatFloat(u.Seconds, 'f', 6, 64)))
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

var tagAudit = []string{"audit"}

func (a *API) routeAudit() {
	if a.deps.Audit == nil {
		return
	}
	private(a, huma.Operation{
		OperationID: "list_audit", Method: http.MethodGet, Path: "/audit", Tags: tagAudit, Summary: "Who did what, newest first",
		Description: "Every change and every refused attempt. An admin sees the own tenant's, a platform admin all. An entry shows a moment after it was committed.",
	}, a.listAudit)
	private(a, huma.Operation{
		OperationID: "export_audit", Method: http.MethodGet, Path: "/audit/log", Tags: tagAudit, Summary: "The log as it is hashed, in order",
		Description: "For `hyperctl audit export`. Other tenants' entries are hidden, their hashes are not.",
	}, a.exportAudit)
	private(a, huma.Operation{
		OperationID: "audit_checkpoint", Method: http.MethodGet, Path: "/audit/checkpoint", Tags: tagAudit, Summary: "The last signed checkpoint of the log",
		Description: "Keep it outside of the daemon's reach: it shows later whether the log went on from there.",
	}, a.auditCheckpoint)
	private(a, huma.Operation{
		OperationID: "audit_proof", Method: http.MethodGet, Path: "/audit/proof/{pos}", Tags: tagAudit, Summary: "Proof that an entry is in the log",
		Description: "A Merkle inclusion proof as in RFC 9162.",
	}, a.auditProof)
	private(a, huma.Operation{
		OperationID: "audit_consistency", Method: http.MethodGet, Path: "/audit/consistency", Tags: tagAudit, Summary: "Proof that the log continues an older one",
		Description: "A Merkle consistency proof as in RFC 9162.",
	}, a.auditConsistency)
}

type auditInput struct {
	Tenant   string    `query:"tenant" doc:"Only entries of this tenant"`
	Event    string    `query:"event" doc:"job.submitted, or all that begins with job."`
	Actor    string    `query:"actor"`
	Resource string    `query:"resource" doc:"The id of a job, or TYPE:ID" example:"tenant:acme"`
	Since    time.Time `query:"since" doc:"At or after"`
	Until    time.Time `query:"until" doc:"Before"`
	Limit    int       `query:"limit" doc:"Entries on a page" minimum:"1" maximum:"1000" default:"50"`
	Cursor   int64     `query:"cursor" doc:"next_cursor of the page before" minimum:"0"`
}

type auditOutput struct {
	Body AuditList
}

// AuditList is one page of the log.
type AuditList struct {
	Items      []audit.Entry `json:"items" nullable:"false"`
	NextCursor int64         `json:"next_cursor,omitempty" doc:"Absent on the last page"`
}

func (a *API) listAudit(ctx context.Context, p tenant.Principal, in *auditInput) (*auditOutput, error) {
	page, err := a.deps.Audit.Entries(ctx, p, service.AuditQuery{
		Tenant: tenant.ID(in.Tenant), Event: in.Event, Actor: in.Actor, Resource: in.Resource, Since: in.Since, Until: in.Until,
		Limit: in.Limit, Before: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	return &auditOutput{AuditList{Items: page.Entries, NextCursor: page.Next}}, nil
}

type auditLogInput struct {
	After int64 `query:"after" doc:"Places behind this one" minimum:"0"`
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
}

type auditLogOutput struct {
	Body AuditLines
}

// AuditLines are places of the log, in order.
type AuditLines struct {
	Items []AuditLine `json:"items" nullable:"false"`
}

// AuditLine is one place of the log.
type AuditLine struct {
	Pos        int64  `json:"pos" doc:"Place in the log, from 1"`
	Hash       string `json:"hash" doc:"SHA-256 of a zero byte and the leaf (RFC 9162), base64"`
	Leaf       string `json:"leaf,omitempty" doc:"The entry, exactly as it is hashed; absent if retention removed it, or if it is hidden"`
	Hidden     bool   `json:"hidden,omitempty" doc:"It is another tenant's"`
	Checkpoint string `json:"checkpoint,omitempty" doc:"What was signed when this was the last entry"`
}

func showLine(l audit.Line) AuditLine {
	return AuditLine{Pos: l.Pos, Hash: l.Hash.String(), Leaf: l.Leaf, Hidden: l.Hidden, Checkpoint: l.Checkpoint}
}

func (a *API) exportAudit(ctx context.Context, p tenant.Principal, in *auditLogInput) (*auditLogOutput, error) {
	lines, err := a.deps.Audit.Lines(ctx, p, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	items := make([]AuditLine, len(lines))
	for i, l := range lines {
		items[i] = showLine(l)
	}
	return &auditLogOutput{AuditLines{items}}, nil
}

// AuditCheckpoint is what was signed of the log.
type AuditCheckpoint struct {
	Size int64     `json:"size" doc:"Entries"`
	Root string    `json:"root" doc:"Hash of the tree, base64"`
	Time time.Time `json:"time"`
	Node string    `json:"node" doc:"Whose key signed it"`
	Note string    `json:"note" doc:"The signed note (C2SP tlog-checkpoint)"`
}

func showCheckpoint(c audit.Checkpoint) AuditCheckpoint {
	return AuditCheckpoint{Size: c.Size, Root: c.Root.String(), Time: c.Time, Node: c.Node, Note: c.Note}
}

type auditCheckpointOutput struct {
	Body AuditCheckpoint
}

func (a *API) auditCheckpoint(ctx context.Context, p tenant.Principal, _ *struct{}) (*auditCheckpointOutput, error) {
	c, err := a.deps.Audit.Checkpoint(ctx, p)
	if err != nil {
		return nil, err
	}
	return &auditCheckpointOutput{showCheckpoint(c)}, nil
}

type auditProofInput struct {
	Pos int64 `path:"pos" doc:"Place in the log" minimum:"1"`
}

type auditProofOutput struct {
	Body AuditProof
}

// AuditProof proves that an entry is in the log that the checkpoint tells of.
type AuditProof struct {
	Entry      AuditLine       `json:"entry"`
	Hashes     []string        `json:"hashes" doc:"From the leaf to the root, base64" nullable:"false"`
	Checkpoint AuditCheckpoint `json:"checkpoint"`
}

func (a *API) auditProof(ctx context.Context, p tenant.Principal, in *auditProofInput) (*auditProofOutput, error) {
	proof, err := a.deps.Audit.Proof(ctx, p, in.Pos)
	if err != nil {
		return nil, err
	}
	return &auditProofOutput{AuditProof{Entry: showLine(proof.Line), Hashes: showHashes(proof.Hashes), Checkpoint: showCheckpoint(proof.Checkpoint)}}, nil
}

type auditConsistencyInput struct {
	From int64 `query:"from" doc:"Entries of the older checkpoint" minimum:"1" required:"true"`
}

type auditConsistencyOutput struct {
	Body AuditConsistency
}

// AuditConsistency proves that the log of the checkpoint begins with that of an
// older one.
type AuditConsistency struct {
	From       int64           `json:"from"`
	Root       string          `json:"root" doc:"Of the first from entries, base64"`
	Hashes     []string        `json:"hashes" doc:"Base64" nullable:"false"`
	Checkpoint AuditCheckpoint `json:"checkpoint"`
}

func (a *API) auditConsistency(ctx context.Context, p tenant.Principal, in *auditConsistencyInput) (*auditConsistencyOutput, error) {
	c, err := a.deps.Audit.Consistency(ctx, p, in.From)
	if err != nil {
		return nil, err
	}
	return &auditConsistencyOutput{AuditConsistency{From: c.From, Root: c.Root.String(), Hashes: showHashes(c.Hashes), Checkpoint: showCheckpoint(c.Checkpoint)}}, nil
}

func showHashes(all []audit.Hash) []string {
	out := make([]string, len(all))
	for i, h := range all {
		out[i] = h.String()
	}
	return out
}

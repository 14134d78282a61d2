package telemetry

// IssuerKeys counts one question for the keys of the OpenID Connect issuer, and what
// came of it.
func (m *Metrics) IssuerKeys(err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.issuerKeys.WithLabelValues(outcome).Inc()
}

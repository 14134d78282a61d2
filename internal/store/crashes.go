package store

// sqlCrashed counts a worker that was lost with the job, from one again if the job
// had come further than ever: a step of its plan, or a byte of its disks.
const sqlCrashed = `UPDATE jobs SET crashes = CASE WHEN far.reached > furthest THEN 1 ELSE crashes + 1 END,
	furthest = CASE WHEN far.reached > furthest THEN far.reached ELSE furthest END
	FROM (SELECT CAST((SELECT COALESCE(SUM(off), 0) FROM checkpoints WHERE job_id = $1) AS BIGINT)
		+ (SELECT COUNT(*) FROM steps WHERE job_id = $1) * CAST(1000000000000000 AS BIGINT) AS reached) AS far
	WHERE id = $1`

func (t *tx) crashed(id string) error {
	_, err := t.exec(sqlCrashed, id)
	return err
}

// forgive forgets the workers that were lost.
func (t *tx) forgive(id string) error {
	_, err := t.exec(`UPDATE jobs SET crashes = 0, furthest = 0 WHERE id = $1`, id)
	return err
}

// Prints "passed failed skipped" of a report of scripts/check.ts or of vitest's JSON reporter. For .ci/run.
import { readFileSync } from 'node:fs';

const report = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
if ('numTotalTests' in report) {
  // A file that cannot even be loaded has no tests, and must count all the same.
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  ).length;
  console.log(report.numPassedTests, report.numFailedTests + broken, report.numPendingTests + report.numTodoTests);
} else {
  console.log(report.passed, report.failed, report.skipped);
}

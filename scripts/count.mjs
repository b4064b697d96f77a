// Prints "passed failed skipped" of a report, and below it what failed, and why. For .ci/run.
// Reads vitest's JSON reporter, and the reports of scripts/check.ts, scripts/check-chart.ts and test/kind.
import { readFileSync } from 'node:fs';

const MAX_LINES = 25;
const report = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const { passed, failed, skipped, failures } = 'numTotalTests' in report ? ofVitest(report) : ofSteps(report);
console.log(passed, failed, skipped);
for (const { title, why } of failures) {
  console.log(title);
  console.log(why.split('\n').slice(0, MAX_LINES).join('\n').replace(/^/gm, '    '));
}

function ofVitest({ testResults, numPassedTests, numFailedTests, numPendingTests, numTodoTests }) {
  const failures = testResults.flatMap(({ name, status, message, assertionResults }) => {
    const of = assertionResults
      .filter((test) => test.status === 'failed')
      .map(({ fullName, failureMessages }) => ({ title: `${name}: ${fullName}`, why: failureMessages.join('\n') }));
    // A file that cannot even be loaded has no tests, and must count all the same.
    return status === 'failed' && assertionResults.length === 0 ? [{ title: name, why: message }] : of;
  });
  const broken = failures.length - numFailedTests;
  return {
    passed: numPassedTests,
    failed: numFailedTests + Math.max(broken, 0),
    skipped: numPendingTests + numTodoTests,
    failures,
  };
}

function ofSteps({ passed, failed, skipped, failures = [], steps = [] }) {
  const ofScenarios = steps
    .filter(({ outcome }) => outcome === 'failed')
    .map(({ scenario, step, error = '' }) => ({ title: `${scenario}: ${step}`, why: error }));
  return { passed, failed, skipped, failures: [...failures, ...ofScenarios] };
}

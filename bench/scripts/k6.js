// k6: every user sends as fast as it can, or with RATE all together so many a second.
import http from "k6/http";

const body = open(__ENV.BODY);
const params = { headers: { "Content-Type": "application/json" } };
const users = Number(__ENV.USERS);
const duration = `${__ENV.SECONDS}s`;
const rate = Number(__ENV.RATE || 0);

export const options = {
  summaryTrendStats: ["p(99)"],
  scenarios: {
    bench: rate
      ? {
          executor: "constant-arrival-rate",
          rate,
          timeUnit: "1s",
          duration,
          preAllocatedVUs: users,
          maxVUs: users,
        }
      : { executor: "constant-vus", vus: users, duration },
  },
};

export default function () {
  http.post(__ENV.URL, body, params);
}

export function handleSummary(data) {
  return { "summary.json": JSON.stringify(data) };
}

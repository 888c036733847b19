export const euros = (amount) => `${amount.toFixed(2)} EUR`;
